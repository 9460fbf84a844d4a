#include <gtest/gtest.h>

#include "run/frontier.h"

namespace lrc {
namespace {

TEST(SameProtocol, TheHashIsTheText) {
  const Json here = {{"text", "/a/wiki.txt"}, {"sha256", "12"}, {"context", 128}, {"windows", 2}, {"device", "cpu"}};
  Json there = here;
  there["text"] = "/b/wiki.txt";
  EXPECT_TRUE(same_protocol(here, there));
  there["sha256"] = "34";
  EXPECT_FALSE(same_protocol(here, there));
  there = here;
  there["windows"] = 3;
  EXPECT_FALSE(same_protocol(here, there));
  EXPECT_FALSE(same_protocol({{"text", "/a/wiki.txt"}}, {{"text", "/b/wiki.txt"}})) << "without a hash the place is all there is";
  EXPECT_FALSE(same_protocol(here, Json()));
}

}  // namespace
}  // namespace lrc
