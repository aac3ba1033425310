// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief How rotary embeddings differ between models: pairing and scaling.

#include <cstddef>
#include <vector>

namespace qompose {

/// Which two channels of a head one rotary angle turns.
enum class rope_pairing {
  /// Channels 2i and 2i + 1 (Meta's layout; llama2.c and GGUF files of Llama).
  interleaved,
  /// Channels i and i + head_dim / 2 ("rotate half"; Hugging Face, and GGUF files of Qwen).
  half,
};

/// How rotary frequencies are stretched for contexts longer than those of the first training.
struct rope_scaling {
  enum class kind { none, linear, llama3 };
  kind method = kind::none;
  /// Linear and Llama 3: positions (Llama 3: of low frequencies) are divided by it.
  float factor = 1.0f;
  /// Llama 3: wavelengths longer than original_seq_len / low_freq_factor are divided in full.
  float low_freq_factor = 1.0f;
  /// Llama 3: wavelengths shorter than original_seq_len / high_freq_factor are left alone.
  float high_freq_factor = 1.0f;
  /// Llama 3: context of the first training, tokens.
  std::size_t original_seq_len = 0;
  /// Divisors of the frequencies, [head_dim / 2] (`rope_freqs.weight` of GGUF files), used
  /// besides the method; empty for none.
  std::vector<float> frequency_factors;
};

}  // namespace qompose
