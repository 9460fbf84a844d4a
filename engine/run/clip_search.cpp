#include "run/clip_search.h"

#include <array>
#include <limits>
#include <optional>

#include "base/parallel.h"
#include "base/progress.h"
#include "correction/linalg.h"
#include "correction/low_rank_steps.h"

namespace lrc {
namespace {

constexpr std::array<float, 5> kCandidates = {0.80f, 0.85f, 0.90f, 0.95f, 1.0f};

double objective(const MatrixD& weight, const SiteStatistics& site, const LayerScheme& scheme) {
  const auto& method = find_method(scheme.method);
  if (!method.uses_rank || method.corrects_base) return linalg::quadratic_trace(weight, site.moments.s_e);
  if (scheme.rank == 0) return linalg::quadratic_trace(weight, site.s_x_given_y);
  double discarded = 0;
  const auto values = init_eigenvalues(weight, site);
  for (std::size_t i = scheme.rank; i < values.size(); ++i) discarded += values[i];
  return discarded;
}

bool has_clip(const ActivationScheme& scheme) { return !scheme.off() && scheme.format == NumberFormat::integer; }

}  // namespace

std::vector<float> best_clips(FloatStream& stream, const std::vector<LayerTask>& layers, std::size_t sites,
                              const std::vector<std::vector<std::size_t>>& passes, std::stop_token stop) {
  const SiteSchemes given = site_schemes(layers, sites);
  std::vector<float> best(sites);
  std::vector<double> smallest(sites, std::numeric_limits<double>::infinity());
  for (std::size_t s = 0; s < sites; ++s) best[s] = given[s].clip;
  for (const auto& pass : passes) {
    Listening listening;
    listening.held_out = false;
    listening.sites.assign(sites, false);
    bool any = false;
    for (const std::size_t s : pass) any |= listening.sites[s] = has_clip(given[s]);
    for (const float clip : kCandidates) {
      if (!any) break;
      throw_if_stopped(stop);
      SiteSchemes schemes = given;
      for (auto& scheme : schemes) scheme.clip = clip;
      BlockMoments moments = stream.peek(schemes, stop, listening);
      std::vector<double> sums(sites);
      parallel_for(pass.size(), 1, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
          const std::size_t s = pass[i];
          // An expert that no token reached is reported when it is solved.
          if (!has_clip(given[s]) || moments.by_site[s].tokens == 0) continue;
          std::optional<SiteStatistics> site;
          for (const auto& task : layers) {
            const auto& layer = *task.layer;
            if (layer.site().index() != s) continue;
            if (!site) site = prepare_site(std::move(moments.by_site[s]), damping_of(task.scheme), schemes[s], name(layer.site()));
            sums[s] += objective(convert<double>(stream.block().linear(layer.role, layer.expert).weight), *site, task.scheme);
          }
        }
      });
      for (const std::size_t s : pass)
        if (has_clip(given[s]) && sums[s] < smallest[s]) {
          smallest[s] = sums[s];
          best[s] = clip;
        }
    }
  }
  return best;
}

}  // namespace lrc
