#pragma once
// Small questions that several panels ask a run.
#include <QString>
#include <optional>

#include "workspace.h"

namespace lrc::app {

const LayerRecord* record_of(const RunEntry* run, const std::string& layer);
/// The run in a slot, or null for the original.
const RunEntry* run_in(const Workspace& workspace, Slot slot);
QString method_title(const std::string& method);
/// Mean over layers of the relative error; nothing before the first layer.
std::optional<double> mean_error(const Manifest& manifest);
const LayerRecord* worst_layer(const Manifest& manifest);
/// Seconds of all stages measured so far.
double total_seconds(const Manifest& manifest);
/// What an evaluation was made with: only equal ones may share a plot. Empty without an evaluation.
QString protocol_of(const Manifest& manifest);
/// "WikiText-2 test, 64 × 2048 tokens"
QString describe_protocol(const Manifest& manifest);

}  // namespace lrc::app
