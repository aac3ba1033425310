// SPDX-License-Identifier: Apache-2.0

#include "run_recipe.hpp"

namespace demo {

template measurement measure<bf16>(job&, bool);
template std::vector<qp::token_id> generate_text<bf16>(job&, const on_token&);

}  // namespace demo
