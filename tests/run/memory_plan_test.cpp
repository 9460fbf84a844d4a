#include "run/memory_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/parallel.h"
#include "small_run.h"
#include "support/family_models.h"

namespace lrc {
namespace {

using test::contains;
using test::sentence_of;

constexpr std::uint64_t kPlenty = 1ull << 50;

class MemoryPlanTest : public ::testing::Test {
 protected:
  std::map<std::string, std::string> bytes_with(const std::string& name, const Recipe& chosen, std::uint64_t limit,
                                                const std::shared_ptr<const Model>& model) {
    RunRequest request;
    request.model = model;
    request.model_path = model->checkpoint().path();
    request.recipe = chosen;
    request.folder = place.path() / name;
    request.memory_limit_bytes = limit;
    const Manifest manifest = test::carry_out(request);
    EXPECT_EQ(manifest.state, RunState::done);
    for (const auto& entry : std::filesystem::directory_iterator(request.folder))
      EXPECT_TRUE(entry.path().filename() == "manifest.json" || entry.path().filename() == "layers") << entry.path();
    auto files = test::layer_bytes(request.folder);
    for (const auto& layer : manifest.layers)
      files["held-out loss of " + layer.name] = layer.held_out_loss ? Json(*layer.held_out_loss).dump() : "none";
    return files;
  }
  /// The least that a run can be held to.
  static std::uint64_t leanest(const Recipe& chosen, const Model& model) { return plan_memory({&chosen, 1}, model, 1).peak_bytes; }

  test::TemporaryFolder place;
  Recipe recipe = test::small_recipe(place.path() / "text.txt");
};

TEST_F(MemoryPlanTest, WithPlentyOfMemoryABlockIsMeasuredAtOnce) {
  const MemoryPlan plan = plan_memory({&recipe, 1}, *test::small_model(), kPlenty);
  EXPECT_TRUE(plan.together());
  EXPECT_FALSE(plan.spill);
  EXPECT_EQ(plan.spill_bytes, 0u);
  ASSERT_EQ(plan.passes.size(), 1u);
  EXPECT_EQ(plan.passes[0].size(), 4u);
}

TEST_F(MemoryPlanTest, WithLittleItGoesSiteBySite) {
  const MemoryPlan rich = plan_memory({&recipe, 1}, *test::small_model(), kPlenty);
  const MemoryPlan poor = plan_memory({&recipe, 1}, *test::small_model(), 1);
  EXPECT_LT(poor.peak_bytes, rich.peak_bytes);
  EXPECT_EQ(poor.passes.size(), 4u);
  EXPECT_TRUE(poor.held_out_later);
  EXPECT_TRUE(poor.spill);
  EXPECT_EQ(poor.layers_at_once, 1);
  EXPECT_EQ(poor.spill_bytes, 5u * 256 * 64 * 4) << "5 windows of 256 tokens, 64 wide, float32";
  // Every limit between gives a plan that keeps it.
  for (std::uint64_t limit = poor.peak_bytes; limit < rich.peak_bytes; limit += (rich.peak_bytes - poor.peak_bytes) / 7 + 1)
    EXPECT_LE(plan_memory({&recipe, 1}, *test::small_model(), limit).peak_bytes, limit);
}

TEST_F(MemoryPlanTest, PassesCoverEachSiteThatIsRead) {
  recipe.layers = "*.down_proj,*.q_proj";
  const MemoryPlan poor = plan_memory({&recipe, 1}, *test::small_model(), 1);
  std::multiset<std::size_t> sites;
  for (const auto& pass : poor.passes) sites.insert(pass.begin(), pass.end());
  EXPECT_EQ(sites, (std::multiset<std::size_t>{std::size_t(SiteKind::attention_input), std::size_t(SiteKind::mlp_hidden)}));
}

TEST_F(MemoryPlanTest, ExpertsComeWithWhatAllTokensBring) {
  const auto model = Model::open(test::with_tokenizer("mixtral/hf", place.path() / "model"));
  recipe.rotation = {};
  const MemoryPlan poor = plan_memory({&recipe, 1}, *model, 1);
  std::size_t with_experts = 0;
  for (const auto& pass : poor.passes)
    for (const std::size_t s : pass) {
      const Site site = site_at(0, s);
      if (site.expert == no_expert || site.kind != SiteKind::mlp_input) continue;
      ++with_experts;
      EXPECT_NE(std::ranges::find(pass, std::size_t(SiteKind::mlp_input)), pass.end());
    }
  EXPECT_EQ(with_experts, model->config().experts);
}

TEST_F(MemoryPlanTest, TheResultDoesNotDependOnTheLimit) {
  for (const Stream stream : {Stream::fp, Stream::propagated, Stream::replay}) {
    for (const bool search : {false, true}) {
      if (search && stream == Stream::replay) continue;
      Recipe chosen = recipe;
      chosen.stream = stream;
      chosen.search_clip = search;
      const std::string what = std::string(name(stream)) + (search ? "-search" : "");
      SCOPED_TRACE(what);
      const auto rich = bytes_with(what + "-rich", chosen, 0, test::small_model());
      const auto poor = bytes_with(what + "-poor", chosen, leanest(chosen, *test::small_model()), test::small_model());
      EXPECT_EQ(rich.size(), 2 * test::small_model()->layers().size());
      for (const auto& [file, bytes] : rich) EXPECT_NE(bytes, "none") << file;
      EXPECT_EQ(rich, poor);
    }
  }
}

TEST_F(MemoryPlanTest, WalkingAheadDoesNotChangeItEither) {
  set_thread_count(3);
  const MemoryPlan rich = plan_memory({&recipe, 1}, *test::small_model(), kPlenty);
  EXPECT_TRUE(rich.ahead);
  const MemoryPlan plain = plan_memory({&recipe, 1}, *test::small_model(), rich.peak_bytes - 1);
  EXPECT_FALSE(plain.ahead);
  EXPECT_TRUE(plain.together());
  const std::vector<Recipe> two = {recipe, recipe};
  EXPECT_FALSE(plan_memory(two, *test::small_model(), kPlenty).ahead) << "runs side by side have their own seconds";
  const auto ahead = bytes_with("ahead", recipe, kPlenty, test::small_model());
  const auto one_by_one = bytes_with("one-by-one", recipe, rich.peak_bytes - 1, test::small_model());
  set_thread_count(1);
  EXPECT_FALSE(plan_memory({&recipe, 1}, *test::small_model(), kPlenty).ahead) << "nobody to walk";
  set_thread_count(0);
  EXPECT_EQ(ahead, one_by_one);
}

TEST_F(MemoryPlanTest, NeitherDoThatOfExperts) {
  const auto model = Model::open(test::with_tokenizer("mixtral/hf", place.path() / "model"));
  Recipe chosen = recipe;
  chosen.rotation = {};
  chosen.calibration_tokens = 256;
  chosen.calibration_context = 64;
  // Experts that are quantized differently: what fills them up is measured as the last of them is.
  chosen.overrides = {parse_override("*.experts.0.*:activation_bits=8")};
  ASSERT_FALSE(problem_of(chosen, *model)) << *problem_of(chosen, *model);
  EXPECT_EQ(bytes_with("rich", chosen, 0, model), bytes_with("poor", chosen, leanest(chosen, *model), model));
}

TEST_F(MemoryPlanTest, AResumedRunMayHaveAnotherLimit) {
  const auto whole = bytes_with("whole", recipe, 0, test::small_model());
  RunRequest request = test::small_request(place.path() / "resumed", recipe);
  std::stop_source stop;
  Progress progress;
  EXPECT_THROW(lrc::carry_out(request, progress, stop.get_token(), [&](const LayerRecord&) { stop.request_stop(); }), Error);
  EXPECT_EQ(bytes_with("resumed", recipe, leanest(recipe, *test::small_model()), test::small_model()), whole);
}

TEST_F(MemoryPlanTest, ALimitThatCannotBeKeptIsRefusedBeforeTheFolder) {
  RunRequest request = test::small_request(place.path() / "refused", recipe);
  request.memory_limit_bytes = 1 << 20;
  const auto sentence = sentence_of(ErrorKind::bad_input, [&] { test::carry_out(request); });
  EXPECT_TRUE(contains(sentence, "needs at least")) << sentence;
  EXPECT_TRUE(contains(sentence, "1 MiB are allowed")) << sentence;
  EXPECT_FALSE(std::filesystem::exists(request.folder));
}

TEST_F(MemoryPlanTest, ForecastsKnowStreamsSearchesAndLimits) {
  const auto seconds_of = [&](const Recipe& chosen, std::uint64_t limit = 0) {
    return forecast_within(chosen, *test::small_model(), limit).seconds;
  };
  Recipe propagated = recipe, replay = recipe, search = recipe;
  propagated.stream = Stream::propagated;
  replay.stream = Stream::replay;
  search.search_clip = true;
  EXPECT_GT(seconds_of(replay), seconds_of(recipe));
  EXPECT_GT(seconds_of(propagated), seconds_of(replay));
  EXPECT_GT(seconds_of(search), seconds_of(recipe));
  EXPECT_GT(seconds_of(recipe, 1), seconds_of(recipe)) << "passes cost forward passes";
  EXPECT_LT(forecast_within(recipe, *test::small_model(), 1).peak_memory_bytes, forecast(recipe, *test::small_model()).peak_memory_bytes);
}

}  // namespace
}  // namespace lrc
