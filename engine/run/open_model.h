#pragma once
// MODEL of the command line and of slots A and B: a checkpoint, or a run folder (the quantized model of that run).
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "inference/generate.h"
#include "model/model.h"
#include "run/manifest.h"

namespace lrc {

struct OpenedModel {
  std::shared_ptr<const Model> model;  ///< of a run: its original
  std::optional<Manifest> run;
  std::filesystem::path path;
  std::string title;  ///< "SmolLM2-135M-Instruct", "LRC 10 %"
};
/// Throws Error; of a run whose model moved: says where it was looked for. `model` is reused when its path and hash fit.
OpenedModel open_model(const std::filesystem::path& path, std::shared_ptr<const Model> known = {});

/// Host weights: the original's, or the run's (rotated embedding, norms and head; quantized layers with their pairs). A layer
/// that the run has not finished throws Error(bad_input) naming it.
ModelWeights weights_of(const OpenedModel& opened);
/// Ready to run on a device ("cpu", "vulkan:0").
std::shared_ptr<Transformer> make_transformer(const OpenedModel& opened, const std::string& device);
std::shared_ptr<ChatSession> make_chat(const OpenedModel& opened, const std::string& device, std::size_t context);
/// From now on a device that stops working moves the conversation to the CPU; `tell` gets the sentence that says why.
void fall_back_to_cpu(ChatSession& chat, const OpenedModel& opened, std::function<void(const std::string& sentence)> tell);

}  // namespace lrc
