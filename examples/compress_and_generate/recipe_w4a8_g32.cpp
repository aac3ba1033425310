// SPDX-License-Identifier: Apache-2.0

#include "run_recipe.hpp"

namespace demo {

template measurement measure<w4a8_g32>(job&, bool);
template std::vector<qp::token_id> generate_text<w4a8_g32>(job&, const on_token&);

}  // namespace demo
