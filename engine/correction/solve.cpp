#include "correction/solve.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "base/progress.h"
#include "correction/linalg.h"
#include "correction/low_rank_steps.h"
#include "correction/methods.h"
#include "quantization/column_parts.h"
#include "tensor/dtype.h"

namespace lrc {
namespace {

const std::array<SolveMethod, 10> kMethods = {{
    {.name = "rtn",
     .title = "Round to nearest",
     .explanation = "Each weight goes to the nearest grid point; the floor that every method must beat.",
     .solve = solve_rtn},
    {.name = "gptq",
     .title = "GPTQ",
     .explanation = "Weights are rounded column by column and later columns make up for the error; activation noise is ignored.",
     .solve = solve_gptq},
    {.name = "svd",
     .title = "SVD of the residual",
     .explanation = "What a plain quantizer left is corrected by its truncated SVD (LoRC); inputs play no part.",
     .uses_rank = true,
     .corrects_base = true,
     .solve = solve_svd},
    {.name = "qera",
     .title = "QERA, exact",
     .explanation = "The residual of a plain quantizer is corrected where inputs carry most, by their full second moments.",
     .uses_rank = true,
     .corrects_base = true,
     .damping = 1e-4,
     .solve = solve_qera},
    {.name = "eora",
     .title = "EoRA",
     .explanation = "QERA's exact correction through the eigenbasis of undamped second moments, meant for a text mixed with the task's.",
     .uses_rank = true,
     .corrects_base = true,
     .solve = solve_eora},
    {.name = "qera-diagonal",
     .title = "QERA, diagonal",
     .explanation = "As QERA with the root mean square of each input channel alone.",
     .uses_rank = true,
     .corrects_base = true,
     .solve = solve_qera_diagonal},
    {.name = "lqer",
     .title = "LQER",
     .explanation = "Truncated SVD of the residual of plain rounding, on the quantized activation.",
     .uses_rank = true,
     .corrects_base = true,
     .pair_input = PairInput::quantized,
     .solve = solve_svd},
    {.name = "l2qer",
     .title = "L²QER",
     .explanation = "As LQER, weighted by the mean magnitude of each input channel.",
     .uses_rank = true,
     .corrects_base = true,
     .pair_input = PairInput::quantized,
     .solve = solve_l2qer},
    {.name = "lsi",
     .title = "LSI",
     .explanation = "The weight's singular values and the clipping of its grid are learned, so that rounding hurts the output least; "
                    "nothing stays at inference.",
     .moves_weights = true,
     .solve = solve_lsi},
    {.name = "lrc",
     .title = "LRC",
     .explanation =
         "A low-rank correction on the unquantized activation and the low-bit weights are fitted together; at rank 0 the weights "
         "alone make up for the activation noise.",
     .uses_rank = true,
     .solve = solve_lrc},
}};

void check(const SolveRequest& request, const SolveMethod& method) {
  const LayerScheme& scheme = request.scheme;
  const std::string& layer = request.layer;
  const std::size_t out = request.weight.rows(), in = request.weight.columns();
  if (out == 0 || in == 0) throw Error(ErrorKind::bad_input, layer + ": the weight is empty; there is nothing to solve.");
  if (scheme.skipped || scheme.weight.bits >= 16)
    throw Error(ErrorKind::bad_input, layer + ": the recipe leaves this layer in float; there is nothing to solve.");
  if (request.site.moments.width() != in)
    throw Error(ErrorKind::bad_input, layer + ": it reads " + std::to_string(in) + " features, but its input was measured with " +
                                          std::to_string(request.site.moments.width()) + "; calibrate again.");
  check_scheme(scheme.weight, in, layer);
  for (std::size_t i = 0; i < request.weight.size(); ++i)
    if (!std::isfinite(request.weight.data()[i]))
      throw Error(ErrorKind::numerical, layer + ": the weight holds NaN or infinity in row " + std::to_string(i / in) + ", column " +
                                            std::to_string(i % in) + "; the checkpoint is damaged.");
  if (!method.uses_rank && scheme.rank != 0)
    throw Error(ErrorKind::bad_input, layer + ": the method " + scheme.method + " has no correction; set rank 0 or choose lrc.");
  if (scheme.rank > std::min(out, in))
    throw Error(ErrorKind::bad_input, layer + ": rank " + std::to_string(scheme.rank) + " is more than the smaller side of its " +
                                          std::to_string(out) + " × " + std::to_string(in) + " weight; choose " +
                                          std::to_string(std::min(out, in)) + " or less.");
  if (scheme.iterations < 1 || scheme.iterations > 1000)
    throw Error(ErrorKind::bad_input, layer + ": the number of rounds must be 1 to 1000, not " + std::to_string(scheme.iterations) + ".");
  if (!(scheme.gptq_damping >= 0) || !std::isfinite(scheme.gptq_damping))
    throw Error(ErrorKind::bad_input, layer + ": GPTQ's damping must be 0 or more, not " + std::to_string(scheme.gptq_damping) + ".");
  if (!(scheme.drift >= 0 && scheme.drift <= 1))
    throw Error(ErrorKind::bad_input,
                layer + ": the part of the drift that is made up for must be 0 to 1, not " + std::to_string(scheme.drift) + ".");
  if (scheme.weight.clip == WeightClip::awq && (method.moves_weights || (method.uses_rank && !method.corrects_base)))
    throw Error(ErrorKind::unsupported, layer + ": the weight clip awq is for the codes of rtn and gptq; " + scheme.method +
                                            " fits its grid on another target, so choose the clip search or none.");
  if (scheme.steps < 1 || scheme.steps > 100'000)
    throw Error(ErrorKind::bad_input, layer + ": the number of steps must be 1 to 100000, not " + std::to_string(scheme.steps) + ".");
  if (scheme.base != "rtn" && scheme.base != "gptq")
    throw Error(ErrorKind::bad_input, layer + ": the base quantizer is rtn or gptq, not \"" + scheme.base + "\".");
  if (scheme.weight.high.any() && method.moves_weights)
    throw Error(ErrorKind::unsupported, layer + ": " + scheme.method +
                                            " learns one grid for all columns, and high-precision columns have their own; choose another "
                                            "method, or set high_precision to 0.");
  if (scheme.weight.high.any() && scheme.pair_input == PairInput::quantized && scheme.rank > 0)
    throw Error(ErrorKind::unsupported, layer + ": a correction on the quantized activation is not part of this version where some columns "
                                                "are held in more bits; choose the unquantized one, or set high_precision to 0.");
  if (!method.corrects_base && method.uses_rank && scheme.pair_input == PairInput::quantized)
    throw Error(ErrorKind::unsupported,
                layer + ": the correction of " + scheme.method +
                    " is defined on the unquantized activation; choose that input, or one of svd, qera, lqer and l2qer.");
}

// Component by component the same length in U as in V: neither half then leaves the range of float16, and the order stays.
void balance(MatrixD& u, MatrixD& v) {
  for (std::size_t k = 0; k < u.columns(); ++k) {
    double of_u = 0, of_v = 0;
    for (std::size_t i = 0; i < u.rows(); ++i) of_u += u(i, k) * u(i, k);
    for (std::size_t i = 0; i < v.rows(); ++i) of_v += v(i, k) * v(i, k);
    const bool nothing = of_u == 0 || of_v == 0;
    const double factor = nothing ? 0.0 : std::sqrt(std::sqrt(of_v / of_u));
    for (std::size_t i = 0; i < u.rows(); ++i) u(i, k) *= factor;
    for (std::size_t i = 0; i < v.rows(); ++i) v(i, k) *= nothing ? 0.0 : 1 / factor;
  }
}

MatrixF rounded(const MatrixD& factor, const std::string& layer) {
  MatrixF result = convert<float>(factor);
  for (float& v : result.flat()) {
    v = round_to_half(v);
    if (!std::isfinite(v))
      throw Error(ErrorKind::numerical, layer + ": the correction has entries beyond float16; use a larger damping or a smaller rank.");
  }
  return result;
}

// The pair in its stored form. Of a pair on codes U is fitted again once V is rounded, where the method knows how.
LowRankPair stored_pair(const SolveRequest& request, LayerSolution& solution) {
  const FactorScheme& factors = request.scheme.factors;
  LowRankPair pair;
  pair.scheme = factors;
  if (factors.format == FactorFormat::half) {
    pair.u = rounded(solution.u, request.layer);
    pair.v = rounded(solution.v, request.layer);
    return pair;
  }
  rounded(solution.v, request.layer);
  pair.v_codes = encode_factor(solution.v, factors, true);
  pair.v = decode_factor(pair.v_codes, solution.v.rows(), solution.v.columns(), factors, true);
  if (request.scheme.method == "lrc")
    solution.u = best_u(request.weight, solution.weight.dequantize(), convert<double>(pair.v), request.site, request.scheme.drift);
  rounded(solution.u, request.layer);
  pair.u_codes = encode_factor(solution.u, factors, false);
  pair.u = decode_factor(pair.u_codes, solution.u.rows(), solution.u.columns(), factors, false);
  return pair;
}

// ‖A X‖² from the damped S_x at hand.
double undamped_norm(const MatrixD& a, const SiteStatistics& site) {
  return std::max(0.0, linalg::quadratic_trace(a, site.s_x) - site.added_to_x() * linalg::squared_norm(a));
}

// The two matrices of ‖A X − B Y‖² for what a layer computes.
struct Sides {
  MatrixD a, b;
};
Sides sides_of(const MatrixD& weight, MatrixD quantized, const MatrixD& correction, PairInput pair_input) {
  if (correction.empty()) return {weight, std::move(quantized)};
  if (pair_input == PairInput::unquantized) return {linalg::subtract(weight, correction), std::move(quantized)};
  for (std::size_t i = 0; i < quantized.size(); ++i) quantized.data()[i] += correction.data()[i];
  return {weight, std::move(quantized)};
}

// Losses of what is stored, and of the same scheme without a correction.
void fill_losses(const SolveRequest& request, const MatrixD& correction, const QuantizedWeight& plain, LayerSolution& solution) {
  const MatrixD& w = request.weight;
  const SecondMoments& moments = request.site.moments;
  LayerLosses& losses = solution.losses;
  losses.norm_wx = moments.has_drift() ? output_norm(w, moments) : undamped_norm(w, request.site);
  losses.activations_only = std::max(0.0, linalg::quadratic_trace(w, moments.s_e));
  const auto [rest, quantized] = sides_of(w, solution.weight.dequantize(), correction, request.scheme.pair_input);
  losses.loss = output_error(w, rest, quantized, moments);
  const double alpha = request.scheme.drift;
  const double aimed = moments.has_drift() && alpha != 1 ? output_error(w, rest, quantized, moments, alpha) : losses.loss;
  losses.loss_regularized = regularized(aimed, rest, quantized, request.site);

  const bool same = correction.empty() && plain == solution.weight;
  const MatrixD plain_values = plain.dequantize();
  losses.loss_uncorrected = same ? losses.loss : output_error(w, w, plain_values, moments);
  losses.weights_only = undamped_norm(linalg::subtract(w, plain_values), request.site);
  if (losses.of_each_round.empty()) {
    losses.of_each_round = {losses.loss_regularized};
    losses.best_round = 1;
  }
  for (const double v : {losses.norm_wx, losses.loss, losses.loss_regularized, losses.loss_uncorrected, losses.weights_only})
    if (!std::isfinite(v))
      throw Error(ErrorKind::numerical, request.layer + ": a loss is not finite; the weights or the inputs are far out of scale.");
}

void fill_curves(const SolveRequest& request, const QuantizedWeight& plain, LayerSolution& solution) {
  RankCurves& curves = solution.curves;
  if (!request.curves && curves.eigenvalues.empty()) {
    const std::vector<double> none;
    solution.losses.lower_bound = request.site.drift_given_y.empty()
                                      ? std::max(0.0, linalg::quadratic_trace(request.weight, request.site.s_x_given_y))
                                      : relaxed_floor(request.weight, request.site, none, request.scheme.drift);
    return;
  }
  const double alpha = request.scheme.drift;
  if (curves.eigenvalues.empty()) curves.eigenvalues = init_eigenvalues(request.weight, request.site, alpha);
  const std::size_t count = curves.eigenvalues.size();
  curves.lower_bound_by_rank.assign(count + 1, relaxed_floor(request.weight, request.site, curves.eigenvalues, alpha));
  for (std::size_t k = count; k-- > 0;) curves.lower_bound_by_rank[k] = curves.lower_bound_by_rank[k + 1] + curves.eigenvalues[k];
  // A correction on the quantized activation is one more weight on Y: it cannot pass the bound of rank 0.
  const bool on_codes = solution.scheme.pair_input == PairInput::quantized;
  solution.losses.lower_bound = curves.lower_bound_by_rank[on_codes ? 0 : solution.scheme.rank];
  if (!request.curves) {
    curves = {};
    return;
  }
  if (curves.same_codes_by_rank.empty()) {
    const MatrixD quantized = solution.weight.dequantize();
    const double bare = regularized(output_error(request.weight, request.weight, quantized, request.site.moments, alpha), request.weight,
                                    quantized, request.site);
    curves.same_codes_by_rank = loss_by_rank(bare, 0, update_eigenvalues(request.weight, quantized, request.site, alpha));
    for (double& v : curves.same_codes_by_rank) v = std::max(0.0, v);
  } else {
    for (double& v : curves.same_codes_by_rank) v = std::max(0.0, v + solution.losses.loss_regularized);
  }
  curves.weight_error_singular_values = linalg::singular_values(linalg::subtract(request.weight, plain.dequantize()));
}

}  // namespace

std::span<const SolveMethod> methods() { return kMethods; }

const SolveMethod& find_method(std::string_view name) {
  std::string known;
  for (const auto& method : kMethods) {
    if (method.name == name) return method;
    known += (known.empty() ? "" : ", ") + std::string(method.name);
  }
  throw Error(ErrorKind::bad_input, "There is no method \"" + std::string(name) + "\"; choose one of " + known + ".");
}

std::vector<double> loss_by_rank(double loss, std::size_t at_rank, const std::vector<double>& eigenvalues) {
  std::vector<double> curve(eigenvalues.size() + 1);
  curve[at_rank] = loss;
  for (std::size_t k = at_rank; k-- > 0;) curve[k] = curve[k + 1] + eigenvalues[k];
  for (std::size_t k = at_rank; k < eigenvalues.size(); ++k) curve[k + 1] = curve[k] - eigenvalues[k];
  return curve;
}

LayerSolution solve_layer(const SolveRequest& request, std::stop_token stop) {
  const SolveMethod& method = find_method(request.scheme.method);
  check(request, method);
  LayerSolution solution = method.solve(request, stop);
  throw_if_stopped(stop);
  // The baseline of jointly fitted codes is GPTQ as published; a plain quantizer's codes are their own.
  const QuantizedWeight plain = method.moves_weights ? quantize_rtn(request.weight, request.scheme.weight, request.scheme.store_rounded)
                                : method.uses_rank && !method.corrects_base ? plain_gptq(request)
                                                                            : solution.weight;
  throw_if_stopped(stop);
  MatrixD correction;
  if (!solution.u.empty()) {
    balance(solution.u, solution.v);
    if (request.scheme.store_rounded) {
      solution.pair = stored_pair(request, solution);
      correction = product(solution.pair);
    } else {
      correction = linalg::multiply(solution.u, solution.v, false, true);
    }
  }
  fill_losses(request, correction, plain, solution);
  throw_if_stopped(stop);
  fill_curves(request, plain, solution);
  if (request.scheme.store_rounded) solution.u = solution.v = solution.target = MatrixD();
  return solution;
}

double layer_loss(const MatrixD& weight, const QuantizedWeight& quantized, const MatrixD& correction, const SecondMoments& moments,
                  PairInput pair_input) {
  const auto [a, b] = sides_of(weight, quantized.dequantize(), correction, pair_input);
  return output_error(weight, a, b, moments);
}

double output_norm(const MatrixD& weight, const SecondMoments& moments) {
  double norm = linalg::quadratic_trace(weight, moments.s_x());
  if (moments.has_drift())
    norm += 2 * linalg::trace_of_product(weight, moments.s_dx, weight) + linalg::quadratic_trace(weight, moments.s_d);
  return std::max(0.0, norm);
}

std::size_t rank_of_fraction(double fraction, RankRule rule, std::size_t out_features, std::size_t in_features) {
  if (!(fraction > 0) || out_features == 0 || in_features == 0) return 0;
  const double out = double(out_features), in = double(in_features), smaller = std::min(out, in);
  const double exact = fraction * (rule == RankRule::min_dimension ? smaller : out * in / (out + in));
  // Rounded down, but 0.29 · 100 is meant to be 29.
  return std::size_t(std::clamp(std::floor(exact + 1e-9), 1.0, smaller));
}

LayerSize layer_size(const LayerScheme& scheme, std::size_t out_features, std::size_t in_features) {
  LayerSize size;
  const std::size_t weights = out_features * in_features;
  if (scheme.skipped || scheme.weight.bits >= 16) {
    size.code_bits = 16 * weights;
    return size;
  }
  const std::size_t high = high_width(scheme.weight.high, in_features), low = in_features - high;
  size.code_bits = out_features * (std::size_t(scheme.weight.bits) * low + std::size_t(scheme.weight.high.bits) * high);
  const auto groups = [&](std::size_t width) {
    return width == 0 ? 0 : width / (scheme.weight.group_size == 0 ? width : scheme.weight.group_size);
  };
  const std::size_t scales = out_features * (groups(high) + groups(low));
  // float16 with a zero point as wide as a code, or a byte with nvfp4's one float32 for all.
  if (scheme.weight.format == NumberFormat::integer)
    size.scale_bits = scales * (16 + (scheme.weight.symmetric ? 0 : std::size_t(scheme.weight.bits)));
  else
    size.scale_bits = 8 * scales + (scheme.weight.format == NumberFormat::nvfp4 ? 32 : 0);
  size.factor_bits = factor_bits(scheme.factors, scheme.rank, out_features, in_features);
  return size;
}

}  // namespace lrc
