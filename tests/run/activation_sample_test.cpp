#include "run/activation_sample.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <set>

#include "run/float_stream.h"
#include "run/rotated_layer.h"
#include "run/spectra.h"
#include "small_run.h"
#include "support/family_models.h"

namespace lrc {
namespace {

TEST(SamplePlan, EveryTokenStandsForItsPartOfTheText) {
  for (const auto& [windows, context, count] : std::vector<std::tuple<std::size_t, std::size_t, std::size_t>>{
           {32, 2048, 1024}, {4, 256, 1024}, {3, 100, 50}, {40, 16, 8}, {1, 1, 5}, {5, 7, 34}}) {
    SCOPED_TRACE(std::to_string(windows) + " windows of " + std::to_string(context));
    const auto plan = plan_sample(windows, context, count);
    std::size_t taken = 0;
    double stands_for = 0;
    for (const auto& positions : plan.positions) {
      EXPECT_EQ(std::set<std::size_t>(positions.begin(), positions.end()).size(), positions.size()) << "a token twice";
      EXPECT_TRUE(std::is_sorted(positions.begin(), positions.end()));
      for (const std::size_t position : positions) {
        ASSERT_LT(position, context);
        stands_for += position == 0 ? plan.share_at_start : plan.share_elsewhere;
      }
      taken += positions.size();
    }
    EXPECT_EQ(taken, std::min(count, windows * context));
    if (count > windows) {
      EXPECT_NEAR(stands_for, double(windows * context), 1e-6 * stands_for);
    }
    EXPECT_FALSE(plan.positions[0].empty());
    EXPECT_EQ(plan.positions[0].front(), 0u) << "position 0 is always seen";
  }
}

class ActivationSampleTest : public testing::Test {
 protected:
  /// Windows of made-up tokens: the tiny models bring no tokenizer.
  static RunCorpus corpus_of(const Model& model) {
    RunCorpus corpus;
    corpus.sha256 = "none";
    corpus.windows.context = 24;
    corpus.calibration_windows = 3;
    for (std::size_t w = 0; w < 4; ++w) {
      corpus.windows.windows.emplace_back();
      for (std::size_t t = 0; t < 24; ++t)
        corpus.windows.windows.back().push_back(TokenId((w * 131 + t * 37 + 5) % model.config().vocabulary));
    }
    return corpus;
  }
  static void gather(const Model& model, const RotationChoice& rotation, const std::filesystem::path& folder) {
    const auto corpus = corpus_of(model);
    Recipe recipe;
    recipe.rotation = rotation;
    open_sample(folder, model, recipe, corpus);
    FloatStream stream(model, rotation, corpus.windows, corpus.calibration_windows);
    SampleGatherer gatherer(model, rotation, corpus);
    for (std::size_t b = 0; b < model.config().blocks; ++b) {
      stream.load();
      stream.advance({}, {}, gatherer.listener());
      gatherer.write(folder, b);
    }
  }
  static RotationChoice all_rotations(const Model& model) {
    return {true, find_hadamard(model.config().head_dim).has_value(), find_hadamard(model.config().feed_forward).has_value(), 3};
  }
  test::TemporaryFolder place;
};

TEST_F(ActivationSampleTest, UndoingTheRotationGivesTheInputsOfTheFile) {
  for (const auto& family : test::family_models()) {
    SCOPED_TRACE(family.path);
    const auto model = Model::open(test::data("models/" + std::string(family.path)));
    const RotationChoice rotation = all_rotations(*model);
    const auto plain = place.path() / family.path / "plain", rotated = place.path() / family.path / "rotated";
    gather(*model, {}, plain);
    gather(*model, rotation, rotated);
    for (const auto& layer : model->layers()) {
      SCOPED_TRACE(layer.name);
      const auto before = read_sample(plain, layer.site());
      auto after = read_sample(rotated, layer.site());
      ASSERT_EQ(before.has_value(), after.has_value());
      if (!before || before->inputs.rows() != after->inputs.rows())
        continue;  // an expert that saw other tokens: routing is decided by rounding
      ASSERT_EQ(before->inputs.columns(), layer.in_features);
      const MatrixF untouched = after->inputs;
      undo_rotation(after->inputs, *model, rotation, layer.site());
      EXPECT_EQ(after->inputs != untouched, rotates_input(rotation, layer.site().kind));
      double difference = 0, size = 0;
      for (std::size_t i = 0; i < untouched.size(); ++i) {
        difference += std::pow(double(after->inputs.data()[i]) - double(before->inputs.data()[i]), 2);
        size += std::pow(double(before->inputs.data()[i]), 2);
      }
      EXPECT_LT(std::sqrt(difference / size), 2e-3) << "beyond float16";
      // W x is the same vector in another basis: as long in both, as far as nothing is taken from it on the way to the stream.
      if (model->architecture().norm == NormKind::layer || writes_stream(layer.role)) continue;
      const MatrixF weight = model->layer_weight(layer), turned = rotated_weight(*model, layer, rotation);
      for (std::size_t t = 0; t < 3; ++t) {
        double one = 0, two = 0;
        for (std::size_t r = 0; r < weight.rows(); ++r) {
          double a = 0, b = 0;
          for (std::size_t c = 0; c < weight.columns(); ++c) {
            a += double(weight(r, c)) * double(before->inputs(t, c));
            b += double(turned(r, c)) * double(untouched(t, c));
          }
          one += a * a;
          two += b * b;
        }
        EXPECT_NEAR(two / one, 1, 1e-2);
      }
    }
  }
}

TEST_F(ActivationSampleTest, ChannelScalesAreThoseOfBothBases) {
  const auto model = test::small_model();
  gather(*model, {}, place.path() / "plain");
  gather(*model, {true, true, false, 0}, place.path() / "rotated");
  const Site site{1, SiteKind::mlp_input};
  const auto plain = read_channel_sizes(place.path() / "plain", site), rotated = read_channel_sizes(place.path() / "rotated", site);
  ASSERT_TRUE(plain && rotated);
  EXPECT_EQ(plain->before, plain->after);
  double difference = 0;
  for (std::size_t c = 0; c < plain->after.size(); ++c) {
    EXPECT_NEAR(rotated->before[c], plain->after[c], 2e-3 * (1 + plain->after[c]));
    difference += std::fabs(rotated->after[c] - plain->after[c]);
  }
  EXPECT_GT(difference, 0.1);
  const auto sample = read_sample(place.path() / "plain", site);
  ASSERT_TRUE(sample);
  EXPECT_NEAR(channel_rms(sample->inputs, sample->shares)[5], plain->after[5], 1e-3 * plain->after[5]);
  double stands_for = 0;
  for (const float share : sample->shares) stands_for += double(share);
  EXPECT_NEAR(stands_for, 72, 1e-3) << "the held-out window is not sampled";
  EXPECT_FALSE(read_sample(place.path() / "plain", {99, SiteKind::mlp_input}));
  EXPECT_FALSE(read_sample({}, site));
}

TEST_F(ActivationSampleTest, MeasuringWritesItAndContinuesIt) {
  Recipe recipe = test::small_recipe(place.path() / "text.txt");
  Progress progress;
  const auto measured = place.path() / "measured", sample = place.path() / "sample";
  measure(*test::small_model(), recipe, measured, progress, {}, sample);
  const auto curves = test::layer_bytes(measured);
  const auto first = read_file(sample / "blocks" / "2.safetensors");
  std::filesystem::remove(sample / "blocks" / "2.safetensors");
  measure(*test::small_model(), recipe, measured, progress, {}, sample);
  EXPECT_EQ(read_file(sample / "blocks" / "2.safetensors"), first);
  EXPECT_EQ(test::layer_bytes(measured), curves);
  // Bits play no part in what is sampled; the rotation does.
  recipe.activation.bits = 8;
  measure(*test::small_model(), recipe, place.path() / "measured8", progress, {}, sample);
  EXPECT_EQ(read_file(sample / "blocks" / "2.safetensors"), first);
  recipe.rotation.r1 = false;
  EXPECT_TRUE(test::contains(
      test::sentence_of(ErrorKind::bad_input, [&] { measure(*test::small_model(), recipe, place.path() / "m", progress, {}, sample); }),
      "another model, text or rotation"));
  // What is folded in cannot be taken out again: such recipes are measured without a sample.
  Recipe smoothed = recipe;
  smoothed.smoothing = Smoothing::smoothquant;
  EXPECT_FALSE(can_sample(smoothed));
  EXPECT_TRUE(can_sample(recipe));
  // Without being asked for a sample, none is written.
  measure(*test::small_model(), recipe, place.path() / "alone", progress, {});
  EXPECT_FALSE(std::filesystem::exists(place.path() / "alone" / "blocks"));
}

TEST_F(ActivationSampleTest, ADamagedSampleIsNamed) {
  const auto model = test::small_model();
  gather(*model, {}, place.path() / "s");
  const auto file = place.path() / "s" / "blocks" / "1.safetensors";
  std::filesystem::resize_file(file, std::filesystem::file_size(file) - 8);
  EXPECT_TRUE(test::contains(test::sentence_of(ErrorKind::bad_file,
                                               [&] {
                                                 read_sample(place.path() / "s", {1, SiteKind::mlp_input});
                                               }),
                             "1.safetensors"));
  std::ofstream(place.path() / "other.txt") << "x";
  EXPECT_TRUE(test::contains(test::sentence_of(ErrorKind::bad_input, [&] { open_sample(place.path(), *model, {}, corpus_of(*model)); }),
                             "holds other files"));
}

}  // namespace
}  // namespace lrc
