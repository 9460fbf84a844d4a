// The solver cases made by an independent float64 program: codes equal, scales 1e-9, products 1e-6, losses and bounds 1e-8.
#include <gtest/gtest.h>

#include "correction/linalg.h"
#include "correction/low_rank_steps.h"
#include "correction/solve.h"
#include "support/golden_weight.h"

namespace lrc {
namespace {

using test::relative_difference;
using test::SolverCase;

class Golden : public testing::TestWithParam<std::string> {
 protected:
  SolverCase golden{GetParam()};
  MatrixD w = golden.w();
  SiteStatistics site = prepare_site(moments_in_double(golden.x(), ActivationScheme{}), 0.01, ActivationScheme{}, "X");

  LayerSolution solve(const LayerScheme& scheme) { return solve_layer({w, site, scheme, golden.name, true}, {}); }

  LayerScheme scheme(const std::string& method, std::size_t rank = 0, int iterations = 1, bool deflate = false) {
    LayerScheme s;
    s.method = method;
    s.rank = rank;
    s.iterations = iterations;
    s.deflate = deflate;
    s.store_rounded = false;
    return s;
  }

  void expect_weight(const QuantizedWeight& weight, const std::string& name) { test::expect_weight(golden, weight, name, 1e-9); }

  static void expect_close(double value, double expected, const std::string& what) {
    EXPECT_NEAR(value, expected, 1e-8 * std::abs(expected)) << what;
  }

  void expect_losses(const LayerSolution& solution, const std::string& name) {
    expect_close(solution.losses.loss, golden.scalar(name, "loss"), name + " loss");
    expect_close(solution.losses.loss_regularized, golden.scalar(name, "damped_loss"), name + " damped loss");
    expect_close(solution.losses.lower_bound, golden.scalar(name, "lower_bound"), name + " bound");
    const auto rounds = golden.facts["scalars"][name]["damped_loss_of_each_round"].get<std::vector<double>>();
    ASSERT_EQ(solution.losses.of_each_round.size(), rounds.size()) << name;
    for (std::size_t i = 0; i < rounds.size(); ++i) expect_close(solution.losses.of_each_round[i], rounds[i], name + " round");
    EXPECT_EQ(solution.losses.best_round, golden.scalar(name, "best_round")) << name;
  }

  void expect_product(const MatrixD& u, const MatrixD& v, const std::string& name) {
    EXPECT_LT(relative_difference(linalg::multiply(u, v, false, true), golden.file.read_double(name)), 1e-6) << name;
  }
};

TEST_P(Golden, Moments) {
  EXPECT_LT(relative_difference(site.moments.s_y, golden.file.read_double("moments.Sy")), 1e-12);
  EXPECT_LT(relative_difference(site.moments.s_x(), golden.file.read_double("moments.Sx")), 1e-12);
  EXPECT_LT(relative_difference(site.moments.s_xy(), golden.file.read_double("moments.Sxy")), 1e-12);
}

TEST_P(Golden, RoundToNearest) {
  const LayerSolution solution = solve(scheme("rtn"));
  expect_weight(solution.weight, "rtn.row_search");
  expect_close(solution.losses.weights_only, golden.scalar("rtn.row_search.loss", "weight_only"), "weights only");
  expect_close(solution.losses.loss, golden.scalar("rtn.row_search.loss", "with_int4_activations"), "loss");
  expect_close(solution.losses.norm_wx, golden.facts["scalars"]["norm_WX"].get<double>(), "norm");
}

TEST_P(Golden, Gptq) {
  for (const std::size_t group : {std::size_t(0), std::size_t(golden.facts["groups"].back().get<int>())}) {
    const std::string name = group == 0 ? "gptq" : "gptq_g" + std::to_string(group);
    LayerScheme s = scheme("gptq");
    s.weight.group_size = group;
    const LayerSolution solution = solve(s);
    expect_weight(solution.weight, name);
    expect_close(solution.losses.weights_only, golden.scalar(name + ".loss", "weight_only"), name + " weights only");
    expect_close(solution.losses.loss, golden.scalar(name + ".loss", "with_int4_activations"), name + " loss");
  }
}

TEST_P(Golden, Retargeting) {
  const LayerSolution solution = solve(scheme("lrc"));
  expect_weight(solution.weight, "retarget");
  EXPECT_LT(relative_difference(solution.target, golden.file.read_double("retarget.target")), 1e-6);
  expect_losses(solution, "retarget");
  EXPECT_TRUE(solution.u.empty());
  EXPECT_TRUE(solution.pair.empty());
}

TEST_P(Golden, LrcOfOneRound) {
  for (const auto& rank : golden.facts["ranks"]) {
    const std::size_t k = rank.get<std::size_t>();
    const std::string name = "lrc.k" + std::to_string(k);
    const LowRankFit init = init_low_rank(w, site, k);
    expect_product(init.u, init.v, name + ".init_uv");
    const LayerSolution solution = solve(scheme("lrc", k));
    expect_weight(solution.weight, name + ".T1");
    EXPECT_LT(relative_difference(solution.target, golden.file.read_double(name + ".target")), 1e-6) << name;
    expect_product(solution.u, solution.v, name + ".T1.uv");
    expect_losses(solution, name + ".T1");
  }
}

TEST_P(Golden, LrcOfFiveRounds) {
  for (const auto& rank : golden.facts["ranks"]) {
    const std::size_t k = rank.get<std::size_t>();
    const std::string name = "lrc.k" + std::to_string(k) + ".T5";
    const LayerSolution solution = solve(scheme("lrc", k, 5));
    expect_weight(solution.weight, name);
    expect_product(solution.u, solution.v, name + ".uv");
    expect_losses(solution, name);
  }
}

TEST_P(Golden, DeflatedLrc) {
  for (const auto& rank : golden.facts["ranks"]) {
    const std::size_t k = rank.get<std::size_t>();
    const std::string name = "lrc_deflated.k" + std::to_string(k);
    const LayerSolution solution = solve(scheme("lrc", k, 1, true));
    expect_weight(solution.weight, name);
    if (golden.has(name + ".target")) {
      EXPECT_LT(relative_difference(solution.target, golden.file.read_double(name + ".target")), 1e-6);
    }
    expect_product(solution.u, solution.v, name + ".uv");
    expect_losses(solution, name);
  }
}

TEST_P(Golden, GptqByDescendingDiagonal) {
  for (const std::size_t group : {std::size_t(0), std::size_t(golden.facts["groups"].back().get<int>())}) {
    const std::string name = group == 0 ? "gptq_act_order" : "gptq_act_order_g" + std::to_string(group);
    LayerScheme s = scheme("gptq");
    s.act_order = true;
    s.weight.group_size = group;
    const LayerSolution solution = solve(s);
    expect_weight(solution.weight, name);
    expect_close(solution.losses.weights_only, golden.scalar(name + ".loss", "weight_only"), name + " weights only");
  }
}

TEST_P(Golden, CorrectionsOfTheResidual) {
  const auto at_damping = [&](double damping) {
    return prepare_site(moments_in_double(golden.x(), ActivationScheme{}, golden.facts["l2qer_batches"].get<std::size_t>()), damping,
                        ActivationScheme{}, "X");
  };
  const SiteStatistics light = at_damping(1e-4), usual = at_damping(0.01);
  for (const auto& rank : golden.facts["ranks"]) {
    const std::size_t k = rank.get<std::size_t>();
    const std::string end = ".k" + std::to_string(k);
    struct Case {
      std::string method, tensor;
      const SiteStatistics& site;
      NumberFormat format = NumberFormat::integer;
    };
    for (const Case& c : {Case{"qera", "qera_exact", light},
                          {"qera-diagonal", "qera_diag", usual},
                          {"svd", "lqer", usual},
                          {"lqer", "lqer", usual},
                          {"l2qer", "l2qer", usual},
                          {"l2qer", "l2qer_mxint4", usual, NumberFormat::mxint}}) {
      LayerScheme s = scheme(c.method, k);
      s.pair_input = find_method(c.method).pair_input;
      s.weight.format = c.format;
      if (c.format == NumberFormat::mxint) s.weight.group_size = 16;
      const LayerSolution solution = solve_layer({w, c.site, s, golden.name, true}, {});
      const std::string name = c.tensor + end;
      if (c.format == NumberFormat::integer) expect_weight(solution.weight, "rtn.row_search");
      expect_product(solution.u, solution.v, name + ".uv");
      if (golden.facts["scalars"].contains(name)) {
        MatrixD error = linalg::subtract(w, solution.weight.dequantize());
        error = linalg::subtract(error, linalg::multiply(solution.u, solution.v, false, true));
        MatrixD s_x = c.site.moments.s_x();
        expect_close(linalg::quadratic_trace(error, s_x), golden.scalar(name, "weight_only_loss"), name);
      }
    }
    if (!golden.has("qera_exact_undamped" + end + ".uv")) continue;
    LayerScheme s = scheme("qera", k);
    s.damping = 0;
    const SiteStatistics bare = at_damping(0);
    const LayerSolution solution = solve_layer({w, bare, s, golden.name, true}, {});
    expect_product(solution.u, solution.v, "qera_exact_undamped" + end + ".uv");
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, Golden, testing::ValuesIn(test::solver_cases()), [](const auto& c) { return c.param; });

}  // namespace
}  // namespace lrc
