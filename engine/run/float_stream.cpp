#include "run/float_stream.h"

#include <cassert>

namespace lrc {
namespace {

/// A model around `weights` that nobody asks for logits: no head, and norms that do nothing.
ModelWeights without_head(ModelWeights weights) {
  weights.config.tied_embeddings = true;
  weights.final_norm.assign(weights.config.hidden_size, 1.0f);
  return weights;
}

}  // namespace

ModelWeights load_rotated_block(const Model& model, std::size_t block, const RotationChoice& rotation, const ImportedRotations* imported) {
  ModelWeights weights;
  weights.config = model.config();
  weights.embedding = MatrixF(1, model.config().hidden_size);
  // A stand-in as well: it says that the block has no rotary embedding.
  if (model.architecture().learned_positions) weights.positions = MatrixF(1, model.config().hidden_size);
  weights.blocks.push_back(load_block(model, block));
  weights = without_head(std::move(weights));
  rotate_weights(weights, rotation, imported);
  weights.head = {};
  return weights;
}

FloatStream::FloatStream(const Model& model, const RotationChoice& rotation, const TokenWindows& windows, std::size_t calibration_windows,
                         std::shared_ptr<const ImportedRotations> imported, const std::filesystem::path& spill_folder)
    : model_(model), rotation_(rotation), imported_(std::move(imported)), backend_(make_cpu_backend()) {
  auto embedding = without_head(load_embedding(model));
  rotate_weights(embedding, rotation, imported_.get());
  embedding.head = {};  // made by untying; a walk ends before it
  transformer_ = std::make_unique<Transformer>(backend_, embedding);
  walk_ = std::make_unique<BlockWalk>(*transformer_, windows, calibration_windows, spill_folder);
}

void FloatStream::load() {
  assert(next_ < model_.config().blocks);
  // The block before goes first: two of them would be the most that a run holds.
  transformer_.reset();
  weights_ = {};
  weights_ = load_rotated_block(model_, next_, rotation_, imported_.get());
  transformer_ = std::make_unique<Transformer>(backend_, weights_);
  walk_->use(*transformer_, next_);
}

void FloatStream::scale(const ChannelScales& scales) {
  if (!scales.any()) return;
  fold_channel_scales(weights_.blocks.front(), model_.config(), scales);
  transformer_ = std::make_unique<Transformer>(backend_, weights_);
  walk_->use(*transformer_, next_);
}

std::vector<BlockMoments> FloatStream::advance(std::span<const SiteSchemes> activations, std::stop_token stop,
                                               const WindowObserver& listener) {
  auto moments = walk_->advance(activations, stop, listener);
  ++next_;
  return moments;
}

}  // namespace lrc
