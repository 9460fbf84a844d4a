#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "base/error.h"
#include "base/files.h"
#include "calibration/calibration.h"
#include "support/test_data.h"

namespace lrc::test {
namespace {

using testing::HasSubstr;

std::string problem(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Corpus, TextIsTakenByteForByte) {
  TemporaryFolder folder;
  const std::string text = "  A line\r\nwith \xC3\xA9 and \xE2\x82\xAC and \xF0\x9F\x98\x80\n\n";
  write_file_atomically(folder.path() / "text.txt", text);
  EXPECT_EQ(read_corpus(folder.path() / "text.txt"), text);
  // A list in a file that is not called .json is text.
  write_file_atomically(folder.path() / "list.txt", R"(["a"])");
  EXPECT_EQ(read_corpus(folder.path() / "list.txt"), R"(["a"])");
}

TEST(Corpus, ListsAreJoinedByOneBlankLine) {
  TemporaryFolder folder;
  const auto file = folder.path() / "list.json";
  write_file_atomically(file, R"(["one", "", "t\u00e9o\n"])");
  EXPECT_EQ(read_corpus(file), "one\n\n\n\nt\xC3\xA9o\n");
  write_file_atomically(file, R"({"text": "one"})");
  EXPECT_THAT(problem([&] { read_corpus(file); }), HasSubstr("list.json"));
  write_file_atomically(file, R"(["one", 2])");
  EXPECT_THAT(problem([&] { read_corpus(file); }), HasSubstr("list of strings"));
  write_file_atomically(file, "[]");
  EXPECT_THAT(problem([&] { read_corpus(file); }), HasSubstr("no text"));
}

TEST(Corpus, FaultsNameTheFileAndTheByte) {
  TemporaryFolder folder;
  const auto file = folder.path() / "bad.txt";
  EXPECT_THAT(problem([&] { read_corpus(file); }), HasSubstr("bad.txt"));
  write_file_atomically(file, "");
  EXPECT_THAT(problem([&] { read_corpus(file); }), HasSubstr("no text"));
  struct Fault {
    std::string bytes;
    std::size_t offset;
  };
  for (const Fault& fault :
       {Fault{"abc\xFF", 3}, Fault{"\xC3", 0}, Fault{"\xC3\xA9\xC0\x80", 2}, Fault{"ab\xED\xA0\x80", 2}, Fault{"\xE2\x82", 0},
        Fault{"x\xF4\x90\x80\x80", 1}, Fault{"x\x80", 1}, Fault{"\xE0\x80\x80", 0}, Fault{"\xF0\x80\x80\x80", 0}}) {
    write_file_atomically(file, fault.bytes);
    EXPECT_THAT(problem([&] { read_corpus(file); }),
                testing::AllOf(HasSubstr("bad.txt"), HasSubstr("offset " + std::to_string(fault.offset) + " ")));
  }
}

TEST(Windows, FollowOneAnotherAndDropTheRest) {
  std::vector<TokenId> ids(23);
  std::iota(ids.begin(), ids.end(), 100);
  const TokenWindows all = cut_windows(ids, 5, 0, "text");
  ASSERT_EQ(all.windows.size(), 4u);
  EXPECT_EQ(all.tokens(), 20u);
  EXPECT_THAT(all.windows[0], testing::ElementsAre(100, 101, 102, 103, 104));
  EXPECT_THAT(all.windows[3], testing::ElementsAre(115, 116, 117, 118, 119));
  EXPECT_EQ(cut_windows(ids, 5, 2, "text").windows.size(), 2u);
  EXPECT_EQ(cut_windows(ids, 5, 99, "text").windows.size(), 4u);
  EXPECT_EQ(cut_windows(ids, 23, 0, "text").windows.size(), 1u);
  EXPECT_THAT(problem([&] { cut_windows(ids, 24, 1, "wiki.txt"); }),
              testing::AllOf(HasSubstr("wiki.txt"), HasSubstr("23"), HasSubstr("24")));
  EXPECT_THROW(cut_windows(ids, 0, 1, "text"), Error);
}

}  // namespace
}  // namespace lrc::test
