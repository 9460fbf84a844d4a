#include "plot_style.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace lrc::app {
namespace {

TEST(Numbers, ErrorsInPerCentWithThreeSignificantDigits) {
  EXPECT_EQ(format_error(0.0892), "8.92");
  EXPECT_EQ(format_error(0.148), "14.8");
  EXPECT_EQ(format_error(0.00431), "0.431");
  EXPECT_EQ(format_error(0.0999999), "10.0");
  EXPECT_EQ(format_error(1.234), "123");
  EXPECT_EQ(format_error(0), "0");
  EXPECT_EQ(format_error(5e-6), "< 0.001");
  EXPECT_EQ(format_error(std::numeric_limits<double>::quiet_NaN()), "–");
}

TEST(Numbers, SizesTimesAndChanges) {
  EXPECT_EQ(format_megabytes(144300000), "144.3 MB");
  EXPECT_EQ(format_gibibytes(1503238553ull), "1.4 GiB");
  EXPECT_EQ(format_gibibytes(524288), "0.5 MiB");
  EXPECT_EQ(format_duration(0.24), "0.24 s");
  EXPECT_EQ(format_duration(38.2), "38 s");
  EXPECT_EQ(format_duration(109), "1:49");
  EXPECT_EQ(format_duration(59.7), "1:00");
  EXPECT_EQ(format_duration(3661), "1:01:01");
  EXPECT_EQ(format_bits(6.611), "6.61");
  EXPECT_EQ(format_perplexity(21.714), "21.71");
  EXPECT_EQ(format_perplexity(1234), "1.2e3");
  EXPECT_EQ(format_kl(0.1779), "0.178");
  EXPECT_EQ(format_count(9999), "9999");
  EXPECT_EQ(format_count(262144), QString("262") + QChar(0x2009) + "144");
  EXPECT_EQ(format_change(-0.178), QString(QChar(0x2212)) + "17.8 %");
  EXPECT_EQ(format_change(0.0831), "+8.3 %");
}

double luminance(const QColor& colour) {
  const auto linear = [](double c) { return c <= 0.03928 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4); };
  return 0.2126 * linear(colour.redF()) + 0.7152 * linear(colour.greenF()) + 0.0722 * linear(colour.blueF());
}
double contrast(const QColor& a, const QColor& b) {
  const double x = luminance(a) + 0.05, y = luminance(b) + 0.05;
  return x > y ? x / y : y / x;
}

TEST(Colours, TextIsReadableOnEveryGroundInBothThemes) {
  const bool before = is_dark();
  for (const bool dark : {false, true}) {
    set_dark(dark);
    const Colours& c = colours();
    for (const QColor& ground : {c.window, c.base, c.alternate, c.selected_row}) {
      EXPECT_GE(contrast(c.text, ground), 4.5);
      EXPECT_GE(contrast(c.dim, ground), 4.5);
      EXPECT_GE(contrast(c.a_fill, ground), 3) << "marker A, dark " << dark;
      EXPECT_GE(contrast(c.b_fill, ground), 2.8) << "marker B, dark " << dark;
    }
    EXPECT_GE(contrast(c.ok, c.ok_ground), 4.5);
    EXPECT_GE(contrast(c.warn, c.warn_ground), 4.5);
    EXPECT_GE(contrast(c.bad, c.bad_ground), 4.5);
  }
  set_dark(before);
}

TEST(Colours, ViridisRunsFromDarkToBrightWithinItsRange) {
  double before = -1;
  for (int i = 0; i <= 20; ++i) {
    const double now = luminance(viridis(i / 20.0));
    EXPECT_GT(now, before);
    before = now;
  }
  EXPECT_EQ(viridis(-1), viridis(0));
  EXPECT_EQ(viridis(2), viridis(1));
}

}  // namespace
}  // namespace lrc::app
