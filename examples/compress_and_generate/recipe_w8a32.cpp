// SPDX-License-Identifier: Apache-2.0

#include "run_recipe.hpp"

namespace demo {

template measurement measure<w8a32>(job&, bool);
template std::vector<qp::token_id> generate_text<w8a32>(job&, const on_token&);

}  // namespace demo
