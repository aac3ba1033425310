// SPDX-License-Identifier: Apache-2.0
// Against models that do not travel with the project: skipped where they are not there.
#include <cstddef>
#include <filesystem>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "qompose/io/tokenizer.hpp"
#include "support/catch.hpp"
#include "support/reference_data.hpp"
#include "support/temporary_folder.hpp"

namespace {

using qompose_tests::missing_reference_data;
using qompose_tests::reference_data;
using ids = std::vector<qompose::token_id>;

std::string read_text(const std::filesystem::path& path) {
  const auto bytes = qompose_tests::read_file(path);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// The first stories of a text that separates them by a marker, without the line ends around.
std::vector<std::string> read_stories(const std::filesystem::path& path, std::size_t count) {
  constexpr std::string_view marker = "<|endoftext|>";
  const std::string text = read_text(path);
  std::vector<std::string> stories;
  for (std::size_t begin = 0; stories.size() < count; begin += marker.size()) {
    const std::size_t end = text.find(marker, begin);
    if (end == std::string::npos) break;
    const std::string story = text.substr(begin, end - begin);
    const std::size_t first = story.find_first_not_of(" \n");
    stories.push_back(story.substr(first, story.find_last_not_of(" \n") + 1 - first));
    begin = end;
  }
  return stories;
}

std::vector<ids> read_ids(const std::filesystem::path& path) {
  std::istringstream text(read_text(path));
  std::vector<ids> lines;
  for (std::string line; std::getline(text, line);) {
    std::istringstream numbers(line);
    ids& last = lines.emplace_back();
    for (qompose::token_id id = 0; numbers >> id;) last.push_back(id);
  }
  return lines;
}

}  // namespace

TEST_CASE("tokenizer: stories become the ids that the reference models are scored on",
          "[io][tokenizer][reference]") {
  const struct {
    const char* tokenizer;
    const char* ids;
  } references[] = {
      {"models/stories260K/tok512.bin", "tok512"},
      {"models/relu-sparse-260K/tok1024.bin", "tok1024"},
      {"models/relu-sparse-2M/tok4096_rebuilt.bin", "tok4096"},
      {"models/babyllama-970K/tok105.vocab", "tok105"},
      {"models/TinyStories-656K", "ts656k"},
  };
  const auto text = reference_data("text/tinystories_train_first2MiB.txt");
  for (const auto& reference : references) {
    const auto file = reference_data(reference.tokenizer);
    const auto expected =
        reference_data("models/ids/tinystories100." + std::string(reference.ids) + ".ids.txt");
    if (text.empty() || file.empty() || expected.empty())
      QOMPOSE_SKIP(missing_reference_data(reference.tokenizer));

    const auto stories = read_stories(text, 100);
    const auto lines = read_ids(expected);
    REQUIRE(stories.size() == 100);
    REQUIRE(lines.size() == 100);
    const qompose::tokenizer tokenizer = qompose::load_tokenizer(file);
    for (std::size_t i = 0; i < stories.size(); ++i) {
      INFO(reference.ids << ", story " << i);
      CHECK(tokenizer.encode(stories[i]) == lines[i]);
    }
    // The two vocabularies without byte tokens cannot spell everything.
    if (std::string_view(reference.ids) == "tok512")
      CHECK(tokenizer.decode(lines[61]) == stories[61]);
  }
}

TEST_CASE("tokenizer: configurations beside a tokenizer.json name BOS and EOS",
          "[io][tokenizer][reference]") {
  const auto folder = reference_data("models/TinyStories-656K");
  if (folder.empty()) QOMPOSE_SKIP(missing_reference_data("models/TinyStories-656K"));
  const qompose::tokenizer tokenizer = qompose::load_tokenizer(folder);
  CHECK(tokenizer.vocab_size() == 2048);
  CHECK(tokenizer.bos_id() == 1);
  CHECK(tokenizer.eos_id() == 2);
  CHECK(tokenizer.is_end(2));
  CHECK(tokenizer.add_bos());
  CHECK(tokenizer.encode("<|end_story|>", {.add_bos = false}) == ids{2});
}

TEST_CASE("tokenizer: GPT-2's vocabulary under three pre-tokenizers",
          "[io][tokenizer][reference]") {
  const auto vocab = reference_data("models/gpt2-tokenizer/gpt2_vocab.json");
  const auto merges = reference_data("models/gpt2-tokenizer/gpt2_merges.txt");
  if (vocab.empty() || merges.empty())
    QOMPOSE_SKIP(missing_reference_data("models/gpt2-tokenizer"));
  // Encoded by Hugging Face's tokenizers 0.23; Llama-3's cut with ignore_merges, Qwen2's after NFC.
  const struct {
    std::string text;
    ids gpt2, llama3, qwen2;
  } golden[] = {
      // clang-format off
      {"Hello world, it's 2024!  I'll pay $3.14  ",
       {15496, 995, 11, 340, 338, 48609, 0, 220, 314, 1183, 1414, 720, 18, 13, 1415, 220, 220},
       {15496, 995, 11, 340, 338, 220, 19004, 19, 0, 220, 314, 1183, 1414, 720, 18, 13, 1415, 220, 220},
       {15496, 995, 11, 340, 338, 220, 17, 15, 17, 19, 0, 220, 314, 1183, 1414, 720, 18, 13, 16, 19, 220, 220},
},
      {"  leading\n\n  two\t\ttabs\r\n x \n",
       {220, 3756, 628, 220, 734, 197, 197, 8658, 82, 201, 198, 2124, 220, 198},
       {220, 3756, 628, 220, 734, 197, 197, 8658, 82, 201, 198, 2124, 220, 198},
       {220, 3756, 628, 220, 734, 197, 197, 8658, 82, 201, 198, 2124, 220, 198},
},
      {"WE'RE they'LL don't 'tis l'eau",
       {8845, 6, 2200, 484, 6, 3069, 836, 470, 705, 48010, 300, 6, 68, 559},
       {8845, 6, 2200, 484, 6, 3069, 836, 470, 705, 48010, 300, 6, 68, 559},
       {8845, 6, 2200, 484, 6, 3069, 836, 470, 705, 48010, 300, 6, 68, 559},
},
      {"12345 67,890 ½ ²³ Ⅷ १२",
       {10163, 2231, 8275, 11, 23, 3829, 25208, 1587, 110, 126, 111, 2343, 227, 100, 220, 24231, 100, 24231, 101},
       {10163, 2231, 220, 3134, 11, 23, 3829, 220, 23141, 220, 31185, 126, 111, 220, 158, 227, 100, 220, 24231, 100, 24231, 101},
       {16, 17, 18, 19, 20, 220, 21, 22, 11, 23, 24, 15, 220, 23141, 220, 31185, 126, 111, 220, 158, 227, 100, 220, 24231, 100, 24231, 101},
},
      {"naïve café e\u0301 a\u0323\u0307 Å ﬁ",
       {2616, 38776, 40304, 304, 136, 223, 257, 136, 96, 136, 229, 6184, 227, 27332, 105, 223},
       {2616, 38776, 40304, 304, 136, 223, 257, 136, 96, 136, 229, 6184, 227, 27332, 105, 223},
       {2616, 38776, 40304, 38251, 28053, 118, 94, 136, 229, 6184, 227, 27332, 105, 223},
},
      {"日本語と한국어 русский العربية",
       {33768, 98, 17312, 105, 45739, 252, 30201, 47991, 250, 166, 113, 255, 168, 244, 112, 220, 21169, 35072, 21727, 21727, 31583, 18849, 140, 117, 28981, 44690, 26897, 39848, 22654, 45632},
       {33768, 98, 17312, 105, 45739, 252, 30201, 47991, 250, 166, 113, 255, 168, 244, 112, 220, 21169, 35072, 21727, 21727, 31583, 18849, 140, 117, 28981, 44690, 26897, 39848, 22654, 45632},
       {33768, 98, 17312, 105, 45739, 252, 30201, 47991, 250, 166, 113, 255, 168, 244, 112, 220, 21169, 35072, 21727, 21727, 31583, 18849, 140, 117, 28981, 44690, 26897, 39848, 22654, 45632},
},
      {"😀👍🏽 👨\u200d👩\u200d👧 ❤\ufe0f!?",
       {47249, 222, 41840, 235, 8582, 237, 121, 50169, 101, 447, 235, 41840, 102, 447, 235, 41840, 100, 43074, 97, 37929, 22857},
       {47249, 222, 41840, 235, 8582, 237, 121, 50169, 101, 447, 235, 41840, 102, 447, 235, 41840, 100, 43074, 97, 37929, 22857},
       {47249, 222, 41840, 235, 8582, 237, 121, 50169, 101, 447, 235, 41840, 102, 447, 235, 41840, 100, 43074, 97, 37929, 22857},
},
      {"a\u00a0b\u2003c\u3000\u200bd\u180ee\u2028f",
       {64, 1849, 65, 447, 225, 66, 5099, 222, 9525, 67, 157, 254, 236, 68, 447, 101, 69},
       {64, 1849, 65, 447, 225, 66, 5099, 222, 9525, 67, 157, 254, 236, 68, 447, 101, 69},
       {64, 1849, 65, 447, 225, 66, 5099, 222, 9525, 67, 157, 254, 236, 68, 447, 101, 69},
},
      {"if (x<=10) {\n\treturn y; // ok\n}\n\n",
       {361, 357, 87, 27, 28, 940, 8, 1391, 198, 197, 7783, 331, 26, 3373, 12876, 198, 92, 628},
       {361, 357, 87, 27, 28, 940, 8, 1391, 198, 197, 7783, 331, 26, 3373, 12876, 198, 92, 628},
       {361, 357, 87, 27, 28, 16, 15, 8, 1391, 198, 197, 7783, 331, 26, 3373, 12876, 198, 92, 628},
},
      {"snake_case__x  ...!!! 'ſ ’s",
       {16184, 539, 62, 7442, 834, 87, 220, 2644, 10185, 705, 129, 123, 564, 247, 82},
       {16184, 539, 62, 7442, 834, 87, 220, 2644, 10185, 705, 129, 123, 564, 247, 82},
       {16184, 539, 62, 7442, 834, 87, 220, 2644, 10185, 705, 129, 123, 564, 247, 82},
},
      // clang-format on
  };
  auto data = qompose::read_vocab_and_merges(vocab, merges);
  const qompose::tokenizer gpt2(data);
  data.pre_tokenizer = *qompose::find_pre_tokenizer("llama-bpe");
  data.ignore_merges = true;
  const qompose::tokenizer llama3(data);
  data.pre_tokenizer = *qompose::find_pre_tokenizer("qwen2");
  data.ignore_merges = false;
  data.normalizer = {qompose::unicode_form::nfc};
  const qompose::tokenizer qwen2(data);
  for (const auto& row : golden) {
    INFO(row.text);
    CHECK(gpt2.encode(row.text) == row.gpt2);
    CHECK(llama3.encode(row.text) == row.llama3);
    CHECK(qwen2.encode(row.text) == row.qwen2);
    CHECK(gpt2.decode(row.gpt2) == row.text);
  }
  CHECK(gpt2.vocab_size() == 50257);
  CHECK(gpt2.eos_id() == 50256);
  CHECK(gpt2.encode("a<|endoftext|>") == ids{64, 50256});
  CHECK(gpt2.encode("<|endoftext|>", {.parse_special = false}).size() > 1);
}
