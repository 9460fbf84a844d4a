#include "run/block_solver.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <map>
#include <mutex>

#include "base/parallel.h"
#include "calibration/expert_moments.h"

namespace lrc {
namespace {

/// The factorized moments of one site, made by whoever needs them first and dropped by whoever needed them last.
struct SharedSite {
  std::size_t index = 0;  // Site::index()
  Damping damping = 0.0;
  std::atomic<int> users{0};
  std::once_flag once;
  std::exception_ptr failure;  // of the one attempt: the moments are used up by it
  std::optional<SiteStatistics> statistics;
};

/// Fills up the moments of experts that saw few tokens, and says so in their tasks.
void support_experts(BlockMoments& moments, std::vector<LayerTask>& tasks, const SiteSchemes& schemes) {
  const SecondMoments& all = moments.by_site[std::size_t(SiteKind::mlp_input)];
  std::map<std::size_t, ExpertSupport> done;
  for (LayerTask& task : tasks) {
    const Site site = task.layer->site();
    SecondMoments& own = moments.by_site[site.index()];
    task.tokens = own.tokens;
    if (site.expert == no_expert) continue;
    // What all tokens bring to the site is known for the inputs, and where it was quantized alike.
    const bool known = site.kind == SiteKind::mlp_input && schemes[site.index()] == schemes[std::size_t(site.kind)];
    if (!done.contains(site.index())) done[site.index()] = support_expert(own, task.layer->in_features, known ? &all : nullptr);
    task.tokens = done[site.index()].tokens;
    task.warning = done[site.index()].warning;
  }
}

}  // namespace

double solving_work(const LayerInfo& layer) {
  const double in = double(layer.in_features), out = double(layer.out_features), small = std::min(in, out);
  return in * in * in + 3 * out * in * in + 10 * small * small * small;
}

SiteSchemes site_schemes(const std::vector<LayerTask>& tasks, std::size_t sites) {
  ActivationScheme off;
  off.bits = 16;
  SiteSchemes schemes(sites, off);
  for (const auto& task : tasks) {
    const Site site = task.layer->site();
    schemes[site.index()] = task.scheme.activation;
    if (site.expert != no_expert && site.kind == SiteKind::mlp_input) schemes[std::size_t(site.kind)] = task.scheme.activation;
  }
  return schemes;
}

void add_held_out_losses(LayerSolution& solution, const MatrixD& weight, const SecondMoments& held_out) {
  if (held_out.tokens == 0) return;
  solution.losses.held_out =
      layer_loss(weight, solution.weight, solution.pair.empty() ? MatrixD() : product(solution.pair), held_out, solution.scheme.pair_input);
  solution.losses.held_out_norm = output_norm(weight, held_out);
}

void solve_block(const BlockWeights& weights, BlockMoments moments, std::vector<LayerTask> tasks, std::stop_token stop,
                 const SolvedCallback& solved, const SolveSettings& settings) {
  support_experts(moments, tasks, settings.schemes ? *settings.schemes : site_schemes(tasks, moments.by_site.size()));
  std::stable_sort(tasks.begin(), tasks.end(),
                   [](const LayerTask& a, const LayerTask& b) { return solving_work(*a.layer) > solving_work(*b.layer); });
  // Layers of one site may be damped differently, then they share nothing but the moments.
  std::map<std::pair<std::size_t, Damping>, SharedSite> sites;
  for (const auto& task : tasks) {
    auto& site = sites[{task.layer->site().index(), damping_of(task.scheme)}];
    site.index = task.layer->site().index();
    site.damping = damping_of(task.scheme);
    ++site.users;
  }
  std::vector<int> shares(moments.by_site.size());
  for (const auto& [key, site] : sites) ++shares[site.index];

  const auto solve = [&](const LayerTask& task) {
    const auto start = std::chrono::steady_clock::now();
    const auto& layer = *task.layer;
    auto& site = sites.at({layer.site().index(), damping_of(task.scheme)});
    auto& own = moments.by_site[site.index];
    std::call_once(site.once, [&] {
      const bool alone = shares[site.index] == 1;
      try {
        site.statistics =
            prepare_site(alone ? std::move(own) : SecondMoments(own), site.damping, task.scheme.activation, name(layer.site()));
      } catch (...) {
        site.failure = std::current_exception();
      }
    });
    if (site.failure) std::rethrow_exception(site.failure);
    const MatrixD weight = convert<double>(weights.linear(layer.role, layer.expert).weight);
    LayerSolution solution = solve_layer({weight, *site.statistics, task.scheme, layer.name}, stop);
    if (--site.users == 0) site.statistics.reset();
    add_held_out_losses(solution, weight, moments.held_out_by_site[site.index]);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    solved({task, std::move(solution), seconds.count()});
  };
  // Each lane takes the next layer when it is done with one: no more than so many are in memory at a time.
  const std::size_t lanes = std::min(tasks.size(), std::size_t(settings.layers_at_once > 0 ? settings.layers_at_once : thread_count()));
  std::atomic<std::size_t> next{0};
  const auto lane = [&](std::size_t, std::size_t) {
    try {
      for (std::size_t t = next++; t < tasks.size(); t = next++) solve(tasks[t]);
    } catch (...) {
      next = tasks.size();
      throw;
    }
  };
  // One layer at a time has all threads for its products.
  if (lanes == 1)
    lane(0, 1);
  else
    parallel_for(lanes, 1, lane);
}

}  // namespace lrc
