#include "models/layer_filter.h"

#include <gtest/gtest.h>

#include <cctype>
#include <limits>
#include <ostream>

namespace lrc::app {
namespace {

LayerFacts down_of_block_2() {
  LayerFacts layer;
  layer.name = "model.layers.2.mlp.down_proj";
  layer.short_name = "2.down_proj";
  layer.role = "down_proj";
  layer.block = 2;
  layer.error_a = 14.8;
  layer.error_b = 8.92;
  layer.held_out = std::numeric_limits<double>::quiet_NaN();
  layer.reduction = 39.7;
  layer.rank = 57;
  layer.bits = 4;
  layer.size = 6.43;
  layer.has_override = true;
  return layer;
}

/// The expression as part of a test's name: the same in every build.
void print_name(const char* text, std::ostream* out) {
  for (const char* c = text; *c; ++c) *out << (std::isalnum(static_cast<unsigned char>(*c)) ? *c : '_');
}

struct Case {
  const char* text;
  bool matches;
};
void PrintTo(const Case& c, std::ostream* out) { print_name(c.text, out); }

class FilterMatches : public testing::TestWithParam<Case> {};

TEST_P(FilterMatches, OneLayer) {
  const LayerFilter filter = LayerFilter::parse(GetParam().text);
  ASSERT_TRUE(filter.valid()) << filter.problem().toStdString();
  EXPECT_EQ(filter.matches(down_of_block_2()), GetParam().matches) << GetParam().text;
}

INSTANTIATE_TEST_SUITE_P(Grammar, FilterMatches,
                         testing::Values(Case{"", true}, Case{"   ", true}, Case{"down", true}, Case{"DOWN", true}, Case{"q_proj", false},
                                         Case{"mlp", true}, Case{"role:down", true}, Case{"role:q,k", false}, Case{"role:q,down", true},
                                         Case{"role:down_proj", true}, Case{"block:2", true}, Case{"block:0-3", true},
                                         Case{"block:3-9", false}, Case{"block:0,2", true}, Case{"errB>2", true}, Case{"errB > 2", true},
                                         Case{"errB<2", false}, Case{"errB>=8.92", true}, Case{"errA<14.8", false},
                                         Case{"errA<=14.8", true}, Case{"rank=57", true}, Case{"rank = 0", false}, Case{"bits<5", true},
                                         Case{"block=2", true}, Case{"heldout<100", false}, Case{"!heldout<100", true},
                                         Case{"is:override", true}, Case{"is:pending", false}, Case{"!is:pending", true},
                                         Case{"/layers\\.2\\./", true}, Case{"/^3/", false}, Case{"down rank>50", true},
                                         Case{"down rank>60", false}, Case{"q_proj | down", true}, Case{"q_proj | k_proj down", false},
                                         Case{"q_proj|rank=57 bits<5", true}, Case{"!down", false}, Case{"!!down", true}));

struct Fault {
  const char* text;
  int column;
};
void PrintTo(const Fault& fault, std::ostream* out) { print_name(fault.text, out); }

class FilterFaults : public testing::TestWithParam<Fault> {};

TEST_P(FilterFaults, NamesTheColumn) {
  const LayerFilter filter = LayerFilter::parse(GetParam().text);
  EXPECT_FALSE(filter.valid());
  EXPECT_FALSE(filter.problem().isEmpty());
  EXPECT_EQ(filter.problem_column(), GetParam().column) << GetParam().text;
}

INSTANTIATE_TEST_SUITE_P(Grammar, FilterFaults,
                         testing::Values(Fault{"role:x", 6}, Fault{"role:", 5}, Fault{"block:a", 7}, Fault{"block:1-", 7},
                                         Fault{"is:new", 4}, Fault{"colour:red", 1}, Fault{"weird>2", 1}, Fault{"errB>", 6},
                                         Fault{"errB>abc", 6}, Fault{"/open", 1}, Fault{"/(/", 3}, Fault{"!", 1}, Fault{"down |", 7},
                                         Fault{"| down", 1}, Fault{"(down)", 1}));

TEST(LayerFilter, UnknownNumbersMatchNoComparison) {
  for (const char* text : {"heldout>0", "heldout<0", "heldout=0", "heldout>=0", "heldout<=0"})
    EXPECT_FALSE(LayerFilter::parse(text).matches(down_of_block_2())) << text;
}

}  // namespace
}  // namespace lrc::app
