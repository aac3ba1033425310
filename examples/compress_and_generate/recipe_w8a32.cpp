// SPDX-License-Identifier: Apache-2.0

#include "run_recipe.hpp"

namespace demo {

template void measure<w8a32>(job&, std::span<const cache_kind* const>, bool, const on_row&);
template std::vector<qp::token_id> generate_text<w8a32>(job&, const cache_kind&, const on_token&);

}  // namespace demo
