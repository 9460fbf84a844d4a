#include "run/open_model.h"

#include <algorithm>
#include <mutex>

#include "base/error.h"
#include "base/hash.h"
#include "base/parallel.h"
#include "model/imported_rotations.h"
#include "run/runner.h"
#include "run/transforms.h"

namespace lrc {
namespace {

/// The original of a run: where the manifest says, or under the same name beside the run folder (both were moved together).
std::shared_ptr<const Model> original_of(const Manifest& run, const std::filesystem::path& folder,
                                         const std::shared_ptr<const Model>& known) {
  if (known && known->checkpoint().sha256() == run.model_sha256) return known;
  std::error_code code;
  const auto beside = std::filesystem::absolute(folder, code).lexically_normal();
  const auto parent = beside.has_filename() ? beside.parent_path() : beside.parent_path().parent_path();
  std::string looked, other;
  for (const auto& place : {run.model_path, parent / run.model_path.filename()}) {
    if (!looked.empty() && place == run.model_path) continue;
    looked += (looked.empty() ? "" : " and at ") + place.string();
    if (!std::filesystem::exists(place, code)) continue;
    auto model = Model::open(place);
    const auto sha256 = model->checkpoint().sha256();
    if (sha256 == run.model_sha256) return model;
    other = place.string() + " (SHA-256 " + sha256.substr(0, 12) + "…)";
  }
  const std::string wanted = run.model_name + " (SHA-256 " + run.model_sha256.substr(0, 12) + "…)";
  if (!other.empty())
    throw Error(ErrorKind::bad_input,
                "The run " + folder.string() + " was made from " + wanted + ", but " + other + " is another model; put the original back.");
  throw Error(ErrorKind::not_found, "The original model " + wanted + " of the run " + folder.string() + " was looked for at " + looked +
                                        " and is not there; put it back to one of these places.");
}

void check_finished(const OpenedModel& opened) {
  for (const auto& [layer, scheme] : opened.run->effective) {
    if (scheme.skipped) continue;
    const auto& layers = opened.run->layers;
    if (std::none_of(layers.begin(), layers.end(), [&name = layer](const LayerRecord& record) { return record.name == name; }))
      throw Error(ErrorKind::bad_input, "The run " + opened.path.string() + " has not solved " + layer + " yet (" +
                                            std::to_string(layers.size()) + " of " + std::to_string(opened.run->layers_total) +
                                            " layers are done); continue it first.");
  }
}

/// The run's own copy of the rotations that it imported, or the bases that it found.
std::filesystem::path rotation_file_of(const OpenedModel& opened) {
  const auto file = opened.path / imported_rotation_file;
  if (sha256_of_file(file) != opened.run->rotation_sha256)
    throw Error(ErrorKind::bad_file, file.string() +
                                         " is not the file that the manifest names (its SHA-256 differs); put it back, or make "
                                         "the run again.");
  return file;
}

/// The channel scales that the run's layers were solved with, into what stays in float.
void fold_transforms(const OpenedModel& opened, ModelWeights& weights) {
  const Manifest& run = *opened.run;
  if (run.recipe.smoothing == Smoothing::none) return;
  std::vector<bool> found(weights.blocks.size());
  for (const auto& record : run.transforms) {
    if (record.block >= found.size() || found[record.block])
      throw Error(ErrorKind::bad_file, (opened.path / "manifest.json").string() + ": transforms names block " +
                                           std::to_string(record.block) + " twice or in vain; the manifest is damaged.");
    found[record.block] = true;
    fold_channel_scales(weights.blocks[record.block], weights.config,
                        read_transform(opened.path, record, weights.config, run.recipe.rotation.r4));
  }
  for (const LayerRecord& layer : run.layers)
    if (const LayerInfo* info = opened.model->find_layer(layer.name); info && !found[info->block])
      throw Error(ErrorKind::bad_file, (opened.path / "manifest.json").string() + ": there are no channel scales for block " +
                                           std::to_string(info->block) + ", whose layers were solved with some; the manifest is damaged.");
}

}  // namespace

OpenedModel open_model(const std::filesystem::path& path, std::shared_ptr<const Model> known) {
  OpenedModel opened;
  opened.path = path;
  if (is_run_folder(path)) {
    opened.run = read_manifest(path);
    opened.model = original_of(*opened.run, path, known);
    opened.title = opened.run->recipe.name;
    return opened;
  }
  std::error_code code;
  if (known && std::filesystem::equivalent(known->checkpoint().path(), path, code) && !code)
    opened.model = std::move(known);
  else
    opened.model = Model::open(path);
  opened.title = opened.model->display_name();
  return opened;
}

ModelWeights weights_of(const OpenedModel& opened) {
  const auto& model = *opened.model;
  if (!opened.run) return load_weights(model);
  check_finished(opened);
  const auto& layers = model.layers();
  const auto& schemes = opened.run->effective;
  std::vector<bool> wanted(layers.size());
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (i >= schemes.size() || schemes[i].first != layers[i].name)
      throw Error(ErrorKind::bad_file, (opened.path / "manifest.json").string() + ": effective does not list " + layers[i].name +
                                           " in the model's order; the manifest is damaged.");
    wanted[i] = schemes[i].second.skipped;
  }
  // Biases of layer norms are folded into the layers behind them: that takes the float weights, also of quantized layers.
  const bool folds_biases = model.config().norm == NormKind::layer && opened.run->recipe.rotation.r1;
  auto weights = folds_biases ? load_weights(model) : load_weights(model, wanted);
  RotationChoice rotation = opened.run->recipe.rotation;
  if (rotation.matrices()) rotation.file = rotation_file_of(opened).string();
  rotate_weights(weights, rotation, rotations_of(rotation, weights.config).get());
  fold_transforms(opened, weights);
  weights.cache = opened.run->recipe.cache;
  parallel_for(layers.size(), 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      if (wanted[i]) continue;
      const auto& layer = layers[i];
      auto solution = read_layer(opened.path, layer.name);
      if (solution.weight.out_features != layer.out_features || solution.weight.in_features != layer.in_features)
        throw Error(ErrorKind::bad_file,
                    (opened.path / "layers").string() + ": the file of " + layer.name + " has another shape than the layer.");
      auto& linear = weights.blocks[layer.block].linear(layer.role, layer.expert);
      linear.weight = MatrixF();
      linear.quantized = std::make_shared<const QuantizedWeight>(std::move(solution.weight));
      linear.pair = std::move(solution.pair);
      linear.activation = solution.scheme.activation;
      linear.pair_input = solution.scheme.pair_input;
    }
  });
  return weights;
}

std::shared_ptr<Transformer> make_transformer(const OpenedModel& opened, const std::string& device) {
  return std::make_shared<Transformer>(make_backend(device), weights_of(opened));
}

std::shared_ptr<ChatSession> make_chat(const OpenedModel& opened, const std::string& device, std::size_t context) {
  auto tokenizer = opened.model->tokenizer();
  const std::size_t longest = opened.model->config().context;
  return std::make_shared<ChatSession>(make_transformer(opened, device), std::move(tokenizer),
                                       context == 0 ? longest : std::min(context, longest));
}

void fall_back_to_cpu(ChatSession& chat, const OpenedModel& opened, std::function<void(const std::string& sentence)> tell) {
  chat.set_fallback({[opened] { return make_transformer(opened, "cpu"); }, std::move(tell)});
}

}  // namespace lrc
