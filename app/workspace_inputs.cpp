// What enters each layer: read from the activation sample on the query lane, kept in memory.
#include <algorithm>

#include "base/files.h"
#include "run/activation_sample.h"
#include "run/recipe_parts.h"
#include "workspace.h"
#include "workspace_parts.h"

namespace lrc::app {

const std::filesystem::path& Workspace::sampleFolder() const { return parts_->sample_folder; }

void Workspace::dropInputs() {
  Parts& parts = *parts_;
  std::filesystem::path place, there;
  if (!parts.model_sha256.empty() && can_sample(draft_))
    place = cache_folder() / "samples" / cache_key(parts.model_sha256, inputs_part(draft_));
  std::error_code code;
  if (!place.empty() && std::filesystem::exists(place / "complete", code)) there = place;
  if (place == parts.sample_place && there == parts.sample_folder) return;
  parts.sample_place = place;
  parts.sample_folder = there;
  for (const int layer : parts.distributions_asked) query_lane_->cancel(QString("inputs/%1").arg(layer));
  for (const auto& [kind, expert] : parts.channels_asked) query_lane_->cancel(QString("channels/%1/%2").arg(kind).arg(expert));
  parts.distributions.clear();
  parts.channels.clear();
  parts.distributions_asked.clear();
  parts.channels_asked.clear();
  emit measuredChanged();
}

std::shared_ptr<const LayerDistributions> Workspace::distributions(int layer) {
  Parts& parts = *parts_;
  if (!model_ || layer < 0 || std::size_t(layer) >= model_->layers().size() || parts.sample_folder.empty()) return nullptr;
  const auto& scheme = draftSchemes()[std::size_t(layer)];
  if (!scheme) return nullptr;
  const auto found = parts.distributions.find(layer);
  if (found != parts.distributions.end()) {
    // An absent answer is one too: the sample has nothing of this layer.
    if (!found->second) return nullptr;
    if (found->second->weight_scheme == scheme->weight && found->second->activation_scheme == scheme->activation) return found->second;
    parts.distributions.erase(found);
    parts.distributions_asked.erase(layer);
  }
  if (!parts.distributions_asked.insert(layer).second) return nullptr;
  query_lane_->submit<std::shared_ptr<const LayerDistributions>>(
      QString("inputs/%1").arg(layer), this,
      [model = model_, layer, rotation = draft_.rotation, weight = scheme->weight, activation = scheme->activation,
       folder = parts.sample_folder](Progress&, std::stop_token stop) -> std::shared_ptr<const LayerDistributions> {
        throw_if_stopped(stop);
        auto answer = distributions_of(*model, model->layers()[std::size_t(layer)], rotation, weight, activation, folder);
        return answer ? std::make_shared<LayerDistributions>(std::move(*answer)) : nullptr;
      },
      [this, layer, folder = parts.sample_folder](std::shared_ptr<const LayerDistributions> answer) {
        if (folder != parts_->sample_folder) return;
        parts_->distributions[layer] = std::move(answer);
        parts_->distributions_asked.erase(layer);
        emit inputsReady(layer);
      },
      [this, layer](const Error& error) {
        if (error.kind() == ErrorKind::stopped) return;
        log(LogLevel::warning, QString::fromUtf8(error.what()));
        parts_->distributions[layer] = nullptr;
        emit inputsReady(layer);
      });
  return nullptr;
}

std::shared_ptr<const ChannelMap> Workspace::channels(int layer) {
  Parts& parts = *parts_;
  if (!model_ || layer < 0 || std::size_t(layer) >= model_->layers().size() || parts.sample_folder.empty()) return nullptr;
  const Site site = model_->layers()[std::size_t(layer)].site();
  const std::pair<int, std::size_t> key(int(site.kind), site.expert);
  if (const auto found = parts.channels.find(key); found != parts.channels.end()) return found->second;
  if (!parts.channels_asked.insert(key).second) return nullptr;
  query_lane_->submit<std::shared_ptr<const ChannelMap>>(
      QString("channels/%1/%2").arg(key.first).arg(key.second), this,
      [model = model_, site, folder = parts.sample_folder](Progress&, std::stop_token) -> std::shared_ptr<const ChannelMap> {
        auto answer = channel_map(*model, site.kind, site.expert, folder);
        return answer ? std::make_shared<ChannelMap>(std::move(*answer)) : nullptr;
      },
      [this, key, layer, folder = parts.sample_folder](std::shared_ptr<const ChannelMap> answer) {
        if (folder != parts_->sample_folder) return;
        parts_->channels[key] = std::move(answer);
        emit inputsReady(layer);
      },
      [this](const Error& error) {
        if (error.kind() != ErrorKind::stopped) log(LogLevel::warning, QString::fromUtf8(error.what()));
      });
  return nullptr;
}

}  // namespace lrc::app
