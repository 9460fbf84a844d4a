#include "support/family_models.h"

#include "base/files.h"
#include "base/json.h"

namespace lrc::test {
namespace {

/// A byte-level vocabulary that fits any model of at least 256 tokens.
Json byte_tokenizer() {
  Json vocabulary = Json::object();
  int next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    const int code = printable ? byte : next++;
    std::string text;
    if (code < 0x80) {
      text = std::string(1, char(code));
    } else {
      text = {char(0xc0 | code >> 6), char(0x80 | (code & 63))};
    }
    vocabulary[text] = byte;
  }
  return {{"version", "1.0"},
          {"added_tokens", Json::array()},
          {"normalizer", nullptr},
          {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", Json::array()}}}};
}

}  // namespace

std::filesystem::path with_tokenizer(const std::string& model, const std::filesystem::path& place) {
  const auto golden = data("models") / model;
  if (!std::filesystem::is_directory(golden)) return golden;
  std::filesystem::copy(golden, place);
  write_file_atomically(place / "tokenizer.json", byte_tokenizer().dump());
  return place;
}

}  // namespace lrc::test
