#include <algorithm>
#include <iostream>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/parse.h"
#include "correction/linalg.h"
#include "correction/solve.h"
#include "formats/safetensors.h"
#include "model/architecture.h"
#include "quantization/activation.h"

namespace lrc::cli {

void solve(const Context& context, const SolveOptions& options) {
  const auto problem = SafetensorsFile::open(options.problem);
  const MatrixD w = problem.read_double("W");
  const MatrixD x = problem.read_double("X");
  if (w.columns() != x.columns())
    throw Error(ErrorKind::bad_input, options.problem + ": W is (" + std::to_string(w.rows()) + ", " + std::to_string(w.columns()) +
                                          ") and X is (" + std::to_string(x.rows()) + ", " + std::to_string(x.columns()) +
                                          "); their last dimensions must be equal.");
  LayerInfo layer;
  layer.name = "W";
  layer.out_features = w.rows();
  layer.in_features = w.columns();
  LayerScheme scheme = effective_scheme(recipe_of(options.recipe, {}), layer);
  if (scheme.weight.high.any())
    throw Error(ErrorKind::unsupported,
                "lrc solve takes X as it is, and high-precision columns are those of a run's principal bases; set high_precision to 0.");
  scheme.store_rounded = false;

  const SiteStatistics site =
      prepare_site(moments_in_double(x, scheme.activation, options.batches), damping_of(scheme), scheme.activation, "X");
  const LayerSolution solution = solve_layer({w, site, scheme, layer.name, true}, context.stop);
  const MatrixD correction = solution.u.empty() ? MatrixD(w.rows(), w.columns()) : linalg::multiply(solution.u, solution.v, false, true);

  SafetensorsWriter out;
  out.add_codes("codes", {w.rows(), w.columns()}, solution.weight.codes);
  out.add("scales", solution.weight.scales);
  if (!solution.weight.zeros.empty()) out.add_codes("zeros", {w.rows(), solution.weight.groups()}, solution.weight.zeros);
  out.add("correction", correction);
  if (!solution.u.empty()) {
    out.add("U", solution.u);
    out.add("V", solution.v);
  }
  if (!solution.target.empty()) out.add("target", solution.target);
  if (!scheme.activation.off()) {
    const MatrixF floats = convert<float>(x);
    const std::size_t groups = scheme.activation.group_size == 0 ? 1 : x.columns() / scheme.activation.group_size;
    std::vector<std::int8_t> codes(x.size()), zeros(x.rows() * groups);
    MatrixF scales(x.rows(), groups);
    quantize_activations(floats.data(), x.rows(), x.columns(), scheme.activation, codes.data(), scales.data(), zeros.data());
    if (!scheme.activation.symmetric) {
      for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = std::int8_t(codes[i] + zeros[i / (x.columns() / groups)]);
      out.add_codes("output_zeros", {x.rows(), groups}, zeros);
    }
    out.add_codes("output_codes", {x.rows(), x.columns()}, codes);
    out.add("output_scales", scales);
  }
  out.write(options.out);

  const LayerLosses& l = solution.losses;
  const auto relative = [&](double value) { return l.norm_wx > 0 ? Json(value / l.norm_wx) : Json(nullptr); };
  const Json result = {{"loss", l.loss},
                       {"loss_regularized", l.loss_regularized},
                       {"lower_bound", l.lower_bound},
                       {"loss_uncorrected", l.loss_uncorrected},
                       {"norm_wx", l.norm_wx},
                       {"relative",
                        {{"loss", relative(l.loss)},
                         {"loss_regularized", relative(l.loss_regularized)},
                         {"lower_bound", relative(l.lower_bound)},
                         {"loss_uncorrected", relative(l.loss_uncorrected)}}},
                       {"loss_of_each_round", l.of_each_round},
                       {"best_round", l.best_round},
                       {"method", scheme.method},
                       {"rank", scheme.rank},
                       {"out", options.out}};
  context.print_json(result);
  if (!context.json)
    std::cout << "loss " << per_cent(l.loss / std::max(l.norm_wx, 1e-300), 4) << " of ‖WX‖², without the correction "
              << per_cent(l.loss_uncorrected / std::max(l.norm_wx, 1e-300), 4) << "; regularized "
              << per_cent(l.loss_regularized / std::max(l.norm_wx, 1e-300), 4) << " ≥ bound "
              << per_cent(l.lower_bound / std::max(l.norm_wx, 1e-300), 4) << '\n';
}

}  // namespace lrc::cli
