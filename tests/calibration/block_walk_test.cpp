#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "calibration/block_walk.h"
#include "quantization/activation.h"
#include "support/tiny_model.h"

namespace lrc::test {
namespace {

const SiteSchemes schemes = {ActivationScheme{.bits = 4}, ActivationScheme{.bits = 8, .clip = 1.0f},
                             ActivationScheme{.bits = 4, .group_size = 16}, ActivationScheme{.bits = 16}};

TokenWindows random_windows(std::size_t count, std::size_t context, std::size_t vocabulary) {
  return cut_windows(random_ids(count * context, vocabulary, 3), context, count, "random ids");
}

double relative_difference(const MatrixD& a, const MatrixD& b) {
  if (a.rows() != b.rows() || a.columns() != b.columns()) return 1e300;
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += (a.data()[i] - b.data()[i]) * (a.data()[i] - b.data()[i]);
    norm += b.data()[i] * b.data()[i];
  }
  return norm > 0 ? std::sqrt(difference / norm) : std::sqrt(difference);
}

/// Moments in double, straight from what the sites of a plain forward pass are given.
struct Heard {
  std::map<std::string, std::vector<double>> values;  // tokens appended
  std::map<std::string, std::size_t> widths;
  void listen(Transformer& transformer, const std::vector<TokenId>& ids) {
    KvCache cache = transformer.make_cache(ids.size());
    transformer.forward(ids, cache, {}, [&](const Site& site, const float* x, std::size_t tokens, std::size_t width) {
      auto& all = values[name(site)];
      all.insert(all.end(), x, x + tokens * width);
      widths[name(site)] = width;
    });
  }
  SecondMoments moments(const Site& site, const ActivationScheme& scheme) {
    const std::size_t width = widths.at(name(site));
    MatrixD x(values.at(name(site)).size() / width, width);
    std::copy(values.at(name(site)).begin(), values.at(name(site)).end(), x.data());
    return moments_in_double(x, scheme);
  }
};

TEST(BlockWalk, MomentsAreThoseOfThePlainForwardPass) {
  ModelWeights weights = tiny_weights();
  rotate_weights(weights, {.r4 = true});
  Transformer transformer = on_cpu(weights);
  const TokenWindows windows = random_windows(3, 40, weights.config.vocabulary);
  Heard calibration, held_out;
  calibration.listen(transformer, windows.windows[0]);
  calibration.listen(transformer, windows.windows[1]);
  held_out.listen(transformer, windows.windows[2]);

  BlockWalk walk(transformer, windows, 2);
  for (std::size_t b = 0; b < weights.config.blocks; ++b) {
    ASSERT_EQ(walk.next_block(), b);
    const BlockMoments moments = walk.advance(schemes, {});
    for (std::size_t kind = 0; kind < 4; ++kind) {
      const Site site{b, SiteKind(kind)};
      const SecondMoments expected = calibration.moments(site, schemes[kind]), aside = held_out.moments(site, schemes[kind]);
      EXPECT_EQ(moments.by_site[kind].tokens, 80u);
      EXPECT_EQ(moments.held_out_by_site[kind].tokens, 40u);
      EXPECT_LE(relative_difference(moments.by_site[kind].s_x(), expected.s_x()), 1e-4) << name(site);
      EXPECT_LE(relative_difference(moments.by_site[kind].s_xy(), expected.s_xy()), 1e-4) << name(site);
      EXPECT_LE(relative_difference(moments.by_site[kind].s_y, expected.s_y), 1e-4) << name(site);
      EXPECT_LE(relative_difference(moments.held_out_by_site[kind].s_y, aside.s_y), 1e-4) << name(site);
    }
    // The quantizer shows in the moments, except where it is off.
    EXPECT_GT(relative_difference(moments.by_site[0].s_y, moments.by_site[0].s_x()), 1e-3);
    EXPECT_LE(relative_difference(moments.by_site[3].s_y, moments.by_site[3].s_x()), 1e-12);
  }
}

/// What a window's tokens from `first` on are at a site, window by window.
SecondMoments behind(std::map<std::string, std::vector<MatrixF>>& heard, const Site& site, const ActivationScheme& scheme,
                     std::size_t first, std::size_t windows) {
  const auto& all = heard[name(site)];
  const std::size_t left = all[0].rows() - first, width = all[0].columns();
  MatrixD x(windows * left, width);
  for (std::size_t w = 0; w < windows; ++w)
    for (std::size_t i = 0; i < left * width; ++i) x.data()[w * left * width + i] = double(all[w].data()[first * width + i]);
  return moments_in_double(x, scheme);
}

TEST(BlockWalk, FirstPositionsLeftOutAreInNoMoments) {
  ModelWeights weights = tiny_weights();
  // What the first position brings rules everything, as in a model with massive activations.
  TokenWindows windows = random_windows(3, 40, weights.config.vocabulary);
  for (auto& window : windows.windows) window[0] = 1;
  for (std::size_t c = 0; c < weights.config.hidden_size; ++c) weights.embedding(1, c) *= 300;
  Transformer transformer = on_cpu(weights);
  for (const std::size_t skipped : {1u, 3u}) {
    windows.skipped_positions = 0;
    std::map<std::string, std::vector<MatrixF>> heard;
    BlockWalk whole(transformer, windows, 2);
    const auto listener = [&](std::size_t, const Site& site, const float* x, std::size_t tokens, std::size_t width) {
      MatrixF& rows = heard[name(site)].emplace_back(tokens, width);
      std::copy_n(x, tokens * width, rows.data());
    };
    windows.skipped_positions = skipped;
    BlockWalk without(transformer, windows, 2), peeking(transformer, windows, 2);
    for (std::size_t b = 0; b < 2; ++b) {
      const BlockMoments all = std::move(whole.advance({&schemes, 1}, {}, listener).front());
      const BlockMoments peeked = peeking.peek(schemes, {}), moments = without.advance(schemes, {});
      std::size_t seen = 0;
      peeking.observe(
          [&](const Site& site, const float* x, std::size_t tokens, std::size_t width) {
            EXPECT_EQ(tokens, 40 - skipped);
            EXPECT_TRUE(std::equal(x, x + tokens * width, heard[name(site)][seen++ / 4].data() + skipped * width)) << name(site);
          },
          {});
      peeking.skip({});
      for (std::size_t kind = 0; kind < 4; ++kind) {
        const Site site{b, SiteKind(kind)};
        const SecondMoments expected = behind(heard, site, schemes[kind], skipped, 2);
        EXPECT_EQ(moments.by_site[kind].tokens, 2 * (40 - skipped));
        EXPECT_EQ(moments.held_out_by_site[kind].tokens, 40 - skipped);
        EXPECT_LE(relative_difference(moments.by_site[kind].s_x(), expected.s_x()), 1e-4) << name(site);
        EXPECT_LE(relative_difference(moments.by_site[kind].s_xy(), expected.s_xy()), 1e-4) << name(site);
        EXPECT_LE(relative_difference(moments.by_site[kind].s_y, expected.s_y), 1e-4) << name(site);
        EXPECT_EQ(moments.by_site[kind].channels.largest, expected.channels.largest);
        EXPECT_EQ(peeked.by_site[kind].s_y, moments.by_site[kind].s_y);
        EXPECT_GT(relative_difference(all.by_site[kind].s_x(), moments.by_site[kind].s_x()), 1e-3) << "it was there " << name(site);
      }
    }
  }
  windows.skipped_positions = 40;
  EXPECT_THROW(BlockWalk(transformer, windows, 2), Error);
}

TEST(BlockWalk, SkippingLeadsToTheSameMoments) {
  const ModelWeights weights = tiny_weights();
  Transformer transformer = on_cpu(weights);
  const TokenWindows windows = random_windows(2, 30, weights.config.vocabulary);
  BlockWalk walked(transformer, windows, 2), resumed(transformer, windows, 2);
  walked.advance(schemes, {});
  walked.advance(schemes, {});
  resumed.skip({});
  resumed.skip({});
  const BlockMoments a = walked.advance(schemes, {}), b = resumed.advance(schemes, {});
  for (std::size_t kind = 0; kind < 4; ++kind) {
    EXPECT_EQ(a.by_site[kind].s_y, b.by_site[kind].s_y);
    EXPECT_EQ(a.by_site[kind].s_ey, b.by_site[kind].s_ey);
    EXPECT_EQ(a.held_out_by_site[kind].tokens, 0u);
  }
}

TEST(BlockWalk, Stops) {
  const ModelWeights weights = tiny_weights();
  Transformer transformer = on_cpu(weights);
  BlockWalk walk(transformer, random_windows(2, 30, weights.config.vocabulary), 1);
  std::stop_source stop;
  stop.request_stop();
  try {
    walk.advance(schemes, stop.get_token());
    ADD_FAILURE() << "did not stop";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::stopped);
  }
  EXPECT_THROW(BlockWalk(transformer, random_windows(2, 30, weights.config.vocabulary), 0), Error);
}

}  // namespace
}  // namespace lrc::test
