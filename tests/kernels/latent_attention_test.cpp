// SPDX-License-Identifier: Apache-2.0

#include "qompose/nn/latent_attention.hpp"

#include <cstddef>
#include <limits>
#include <vector>

#include "kernels/on_each_target.hpp"
#include "qompose/recipe/catalogue.hpp"
#include "support/attention_reference.hpp"
#include "support/catch.hpp"
#include "support/latent_reference.hpp"
#include "support/matrix.hpp"

namespace qp = qompose;
using namespace qompose_tests;

TEMPLATE_TEST_CASE("latent_attention: agrees with the formula in double on every target",
                   "[kernels][latent]", qp::bf16, qp::w4_g32, qp::nf4_g64) {
  const latent_inputs shapes[] = {{3, 6, 1, 20, 2, 33}, {2, 24, 3, 300, 9, 83}};
  for (latent_inputs in : shapes) {
    qp::rope_table rope(in.head_dim, in.tokens, 1e4f);
    const matrix given = in.c;
    in.c = stored_rows<TestType>(given);
    for (const bool rotates : {true, false}) {
      latent_options options;
      options.rope = rotates ? &rope : nullptr;
      options.pairing = qp::rope_pairing::interleaved;
      const std::vector<double> wanted = expect_latent_attention(in, options);
      on_each_target([&]<class Isa>() {
        qp::latent_cache<TestType> cache(in.rank, in.tokens);
        cache.template append<Isa>(given.view());
        const qp::latent_factors factors(in.u_k.view(), in.u_v.view(), in.n_kv_heads);
        matrix y(in.queries, in.q.cols(), std::numeric_limits<float>::quiet_NaN());
        qp::latent_attention<qp::serial, Isa>(in.q.view(), cache, factors, y.view(), qp::serial{},
                                              {.rope = options.rope, .pairing = options.pairing});
        check_latent_attention(wanted, y);
      });
    }
  }
}
