// The measuring pass and the curves of layers: asked for on the query lane, kept in memory.
#include <QSettings>
#include <algorithm>

#include "base/files.h"
#include "run/kept_sites.h"
#include "run/recipe_parts.h"
#include "workspace.h"
#include "workspace_parts.h"

namespace lrc::app {

// ---- Spectra and the measuring pass ------------------------------------------------------------------------------------

std::shared_ptr<const LayerSpectrum> Workspace::spectrum(int layer, Slot slot) {
  if (!model_ || layer < 0 || std::size_t(layer) >= model_->layers().size()) return nullptr;
  Parts& parts = *parts_;
  const std::pair<int, int> key(layer, slot.run.value_or(-1));
  if (const auto found = parts.spectra.find(key); found != parts.spectra.end()) return found->second;
  std::filesystem::path folder;
  if (slot.run) {
    if (!record(slot, layer)) return nullptr;  // not solved (yet)
    folder = findRun(*slot.run)->folder;
  } else {
    folder = parts.measurement_folder;
  }
  if (!parts.requested.insert(key).second) return nullptr;
  query_lane_->submit<std::shared_ptr<const LayerSpectrum>>(
      QString("spectrum/%1/%2").arg(key.first).arg(key.second), this,
      [model = model_, layer, folder, of_run = slot.run.has_value(), weight = draft_.weight](
          Progress&, std::stop_token) -> std::shared_ptr<const LayerSpectrum> {
        const LayerInfo& info = model->layers()[std::size_t(layer)];
        if (of_run) return std::make_shared<LayerSpectrum>(spectrum_of_run(folder, info.name));
        if (!folder.empty())
          if (auto measured = measured_spectrum(folder, info.name)) return std::make_shared<LayerSpectrum>(std::move(*measured));
        return std::make_shared<LayerSpectrum>(spectrum_of_weights(*model, info, weight));
      },
      [this, key, model = model_](std::shared_ptr<const LayerSpectrum> answer) {
        parts_->requested.erase(key);
        if (model != model_) return;
        parts_->spectra[key] = std::move(answer);
        emit spectrumReady(key.first);
      },
      [this, key](const Error& error) {
        parts_->requested.erase(key);
        if (error.kind() != ErrorKind::stopped) log(LogLevel::warning, QString::fromUtf8(error.what()));
      });
  return nullptr;
}

void Workspace::dropOriginalSpectra() {
  Parts& parts = *parts_;
  for (auto request = parts.requested.begin(); request != parts.requested.end();) {
    if (request->second != -1) {
      ++request;
      continue;
    }
    query_lane_->cancel(QString("spectrum/%1/-1").arg(request->first));
    request = parts.requested.erase(request);
  }
  std::erase_if(parts.spectra, [](const auto& item) { return item.first.second == -1; });
  parts.measurement_folder.clear();
  if (!parts.model_sha256.empty())
    parts.measurement_folder = cache_folder() / "measurements" / cache_key(parts.model_sha256, measured_part(draft_));
  const bool before = parts.measured;
  std::error_code code;
  parts.measured = !parts.measurement_folder.empty() && std::filesystem::exists(parts.measurement_folder / "complete", code);
  if (before != parts.measured) emit measuredChanged();
  dropInputs();
}

bool Workspace::isMeasured() const { return parts_->measured; }
std::optional<ProgressUpdate> Workspace::measuring() const { return parts_->measuring; }

void Workspace::stopMeasuring() {
  run_lane_->cancel("measure");
  if (!parts_->measuring) return;
  parts_->measuring.reset();
  log(LogLevel::info, tr("Measuring stopped; the layers that were measured are kept"));
  emit measureProgress();
}

void Workspace::measure() {
  if (model_ && parts_->model_sha256.empty()) parts_->measure_wanted = true;
  if (!model_ || parts_->measuring || parts_->measurement_folder.empty()) return;
  const bool sampling =
      parts_->sample_folder.empty() && !parts_->sample_place.empty() && QSettings().value("calibration/sample", true).toBool();
  if (parts_->measured && !sampling) return;
  const auto folder = parts_->measurement_folder, sample = sampling ? parts_->sample_place : std::filesystem::path();
  parts_->measuring = ProgressUpdate{};
  log(LogLevel::info, tr("Measuring for %1-bit activations").arg(draft_.activation.bits));
  emit measureProgress();
  run_lane_->submit<bool>(
      "measure", this,
      [model = model_, recipe = draft_, folder, sample](Progress& progress, std::stop_token stop) {
        std::error_code code;
        std::filesystem::create_directories(folder, code);
        lrc::measure(*model, recipe, folder, progress, stop, sample, kept_sites_folder(recipe, *model));
        write_file_atomically(folder / "complete", "");
        if (!sample.empty()) write_file_atomically(sample / "complete", "");
        return true;
      },
      [this](bool) {
        parts_->measuring.reset();
        log(LogLevel::info, tr("Measured"));
        dropOriginalSpectra();
        emit measureProgress();
        emit measuredChanged();
      },
      [this](const Error& error) {
        parts_->measuring.reset();
        if (error.kind() != ErrorKind::stopped) banner(tr("Measuring failed: %1").arg(QString::fromUtf8(error.what())));
        emit measureProgress();
      },
      [this](const ProgressUpdate& update) {
        if (!parts_->measuring) return;
        parts_->measuring = update;
        emit measureProgress();
      });
}

}  // namespace lrc::app
