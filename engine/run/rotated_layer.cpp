#include "run/rotated_layer.h"

#include "base/error.h"
#include "base/parallel.h"
#include "quantization/quantized_weight.h"

namespace lrc {
namespace {

HadamardOrder order_of(std::size_t width) {
  auto order = find_hadamard(width);
  if (!order)
    throw Error(ErrorKind::unsupported,
                "There is no Hadamard matrix of order " + std::to_string(width) + "; choose a recipe without that rotation.");
  return *std::move(order);
}

/// Gain and bias of the norm before a site; the bias is empty for RMS norms.
struct Norm {
  std::vector<float> gain, bias;
};

Norm norm_before(const Model& model, std::size_t block, SiteKind site) {
  const auto& architecture = model.architecture();
  const std::string module =
      site == SiteKind::attention_input ? architecture.attention_norm_name(block) : architecture.mlp_norm_name(block);
  Norm norm;
  norm.gain = model.checkpoint().read_vector(module + ".weight");
  if (architecture.norm == NormKind::layer) norm.bias = model.checkpoint().read_vector(module + ".bias");
  return norm;
}

bool reads_stream(SiteKind site) { return site == SiteKind::attention_input || site == SiteKind::mlp_input; }

}  // namespace

MatrixF rotated_weight(const Model& model, const LayerInfo& layer, const RotationChoice& rotation) {
  if (rotation.matrices())
    throw Error(
        ErrorKind::unsupported,
        layer.name + ": its weight behind imported or principal rotations is known within a run only; choose Hadamard ones to look at it.");
  ModelWeights weights;
  weights.config = model.config();
  weights.embedding = MatrixF(1, model.config().hidden_size);  // nobody reads it
  weights.config.tied_embeddings = true;
  weights.final_norm.assign(model.config().hidden_size, 1.0f);
  BlockWeights block;
  for (const SiteKind site : {SiteKind::attention_input, SiteKind::mlp_input}) {
    Norm norm = norm_before(model, layer.block, site);
    const bool attention = site == SiteKind::attention_input;
    (attention ? block.attention_norm : block.mlp_norm) = std::move(norm.gain);
    (attention ? block.attention_norm_bias : block.mlp_norm_bias) = std::move(norm.bias);
  }
  LinearWeights linear;
  linear.info = layer;
  linear.weight = model.layer_weight(layer);
  block.linears.push_back(std::move(linear));
  weights.blocks.push_back(std::move(block));
  rotate_weights(weights, rotation);
  return std::move(weights.blocks.front().linears.front().weight);
}

double rounding_error(const Model& model, const LayerInfo& layer, const RotationChoice& rotation, const WeightScheme& scheme) {
  const MatrixD weight = convert<double>(rotated_weight(model, layer, rotation));
  const MatrixD rounded = quantize_rtn(weight, scheme, true).dequantize();
  double lost = 0, all = 0;
  for (std::size_t i = 0; i < weight.size(); ++i) {
    const double difference = weight.data()[i] - rounded.data()[i];
    lost += difference * difference;
    all += weight.data()[i] * weight.data()[i];
  }
  return all > 0 ? lost / all : 0;
}

bool rotates_input(const RotationChoice& rotation, SiteKind site) {
  if (reads_stream(site)) return rotation.r1;
  return site == SiteKind::attention_output ? rotation.r2 : rotation.r4;
}

void undo_rotation(MatrixF& inputs, const Model& model, const RotationChoice& rotation, const Site& site) {
  if (!rotates_input(rotation, site.kind)) return;
  const std::size_t width = inputs.columns();
  const std::size_t part = site.kind == SiteKind::attention_output ? model.config().head_dim : width;
  if (part == 0 || width % part != 0)
    throw Error(ErrorKind::bad_input,
                "Inputs of " + name(site) + " are " + std::to_string(width) + " wide, which is no whole number of heads.");
  const HadamardOrder hadamard = order_of(part);
  std::vector<std::int8_t> signs;
  Norm norm;
  if (reads_stream(site.kind)) {
    signs = random_signs(width, rotation.seed);
    norm = norm_before(model, site.block, site.kind);
  }
  parallel_for(inputs.rows(), 16, [&](std::size_t begin, std::size_t end) {
    std::vector<double> row(width);
    for (std::size_t r = begin; r < end; ++r) {
      float* x = inputs.row(r);
      for (std::size_t c = 0; c < width; ++c) row[c] = double(x[c]);
      apply_hadamard_transposed(hadamard, row.data(), width / part);
      for (std::size_t c = 0; c < width; ++c) {
        if (!signs.empty()) row[c] *= double(signs[c]) * double(norm.gain[c]);
        if (!norm.bias.empty()) row[c] += double(norm.bias[c]);
        x[c] = float(row[c]);
      }
    }
  });
}

}  // namespace lrc
