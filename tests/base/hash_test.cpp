#include "base/hash.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/files.h"
#include "support/test_data.h"

namespace lrc {
namespace {

// The examples of FIPS 180-4.
TEST(Sha256, KnownVectors) {
  EXPECT_EQ(sha256_of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256_of(std::string(1000000, 'a')), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, PiecesOfAnySizeGiveTheSame) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += char(i * 7);
  for (std::size_t length : {0, 1, 55, 56, 57, 63, 64, 65, 119, 120, 128, 300}) {
    const auto whole = sha256_of(std::string_view(text).substr(0, length));
    for (std::size_t piece : {1, 3, 63, 64, 65}) {
      Sha256 hash;
      for (std::size_t i = 0; i < length; i += piece) hash.update(std::string_view(text).substr(i, std::min(piece, length - i)));
      EXPECT_EQ(hash.hex(), whole) << length << " in pieces of " << piece;
    }
  }
}

TEST(Sha256, OfAFile) {
  const test::TemporaryFolder folder;
  const std::string text(3000000, 'x');
  write_file_atomically(folder.path() / "f", text);
  EXPECT_EQ(sha256_of_file(folder.path() / "f"), sha256_of(text));
  EXPECT_THROW(sha256_of_file(folder.path() / "none"), Error);
}

}  // namespace
}  // namespace lrc
