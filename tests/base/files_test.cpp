#include "base/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "support/test_data.h"

namespace lrc {
namespace {

using ::testing::HasSubstr;

std::vector<std::string> names_in(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

ErrorKind kind_of(const std::function<void()>& action, const std::string& part_of_message) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr(part_of_message));
    return error.kind();
  }
  ADD_FAILURE() << "nothing was thrown";
  return ErrorKind::stopped;
}

TEST(AtomicFile, AppearsWholeOnCommit) {
  const test::TemporaryFolder folder;
  const auto file = folder.path() / "out";
  write_file_atomically(file, "before");
  AtomicFile out(file);
  out.write("one ");
  out.write("two");
  EXPECT_EQ(out.written(), 7u);
  EXPECT_EQ(read_file(file), "before");
  out.commit();
  EXPECT_EQ(read_file(file), "one two");
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"out"});
}

TEST(AtomicFile, LeavesNothingWithoutCommit) {
  const test::TemporaryFolder folder;
  {
    AtomicFile out(folder.path() / "out");
    out.write("half");
  }
  EXPECT_TRUE(names_in(folder.path()).empty());
}

TEST(AtomicFile, AFullDiskLeavesNothingAndNamesTheFile) {
  // A limit on the size of files stands for the full disk: write() fails in the same place.
  const test::TemporaryFolder folder;
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small = before;
  small.rlim_cur = 1000;
  signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto kind =
      kind_of([&] { write_file_atomically(folder.path() / "out", std::string(5000, 'x')); }, (folder.path() / "out").string());
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, SIG_DFL);
  EXPECT_EQ(kind, ErrorKind::io);
  EXPECT_TRUE(names_in(folder.path()).empty());
}

TEST(AtomicFile, AFolderThatTakesNoFilesIsOneSentence) {
  EXPECT_EQ(kind_of([] { write_file_atomically("/proc/self/out", "x"); }, "/proc/self/out"), ErrorKind::io);
  const test::TemporaryFolder folder;
  EXPECT_EQ(kind_of([&] { write_file_atomically(folder.path() / "missing" / "out", "x"); }, "missing/out"), ErrorKind::io);
}

TEST(AtomicFile, TheNameOfAFolderIsRefused) {
  const test::TemporaryFolder folder;
  std::filesystem::create_directory(folder.path() / "taken");
  write_file_atomically(folder.path() / "taken" / "inside", "x");
  EXPECT_EQ(kind_of([&] { write_file_atomically(folder.path() / "taken", "x"); }, "taken"), ErrorKind::io);
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"taken"});
}

TEST(ReadFile, WholeEmptyMissingAndFolder) {
  const test::TemporaryFolder folder;
  const std::string bytes("a\0b\r\n\xff", 6);
  write_file_atomically(folder.path() / "bytes", bytes);
  write_file_atomically(folder.path() / "empty", "");
  EXPECT_EQ(read_file(folder.path() / "bytes"), bytes);
  EXPECT_EQ(read_file(folder.path() / "empty"), "");
  EXPECT_EQ(kind_of([&] { read_file(folder.path() / "none"); }, "none"), ErrorKind::not_found);
  EXPECT_EQ(kind_of([&] { read_file(folder.path()); }, folder.path().string()), ErrorKind::bad_input);
}

TEST(CacheFolder, FollowsTheEnvironment) {
  const test::TemporaryFolder folder;
  const char* before = getenv("XDG_CACHE_HOME");
  const std::string kept = before ? before : "";
  setenv("XDG_CACHE_HOME", folder.path().c_str(), 1);
  EXPECT_EQ(cache_folder(), folder.path() / "lrc-workbench");
  EXPECT_TRUE(std::filesystem::is_directory(folder.path() / "lrc-workbench"));
  if (before)
    setenv("XDG_CACHE_HOME", kept.c_str(), 1);
  else
    unsetenv("XDG_CACHE_HOME");
}

}  // namespace
}  // namespace lrc
