#include "run/one_run.h"

#include <algorithm>

#include "backend/backend.h"
#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/parallel.h"
#include "model/imported_rotations.h"
#include "run/layer_file.h"
#include "run/memory.h"
#include "run/sizes.h"

namespace lrc {

Json deciding_fields(const Recipe& recipe) {
  Json json = to_json(recipe);
  json.erase("name");
  json.erase("calibration");
  if (json.contains("calibration_mix")) json["calibration_mix"].erase("text");
  json["rotate"].erase("file");
  return json;
}

namespace {

std::string differing_fields(const Recipe& there, const Recipe& here) {
  const Json a = deciding_fields(there), b = deciding_fields(here);
  std::string text;
  const auto say = [&](const std::string& key) {
    // A field that is left out has its default.
    const auto shown = [&](const Json& json) { return json.contains(key) ? json[key].dump() : std::string("not set"); };
    if (shown(a) != shown(b)) text += (text.empty() ? "" : ", ") + key + " " + shown(a) + " there and " + shown(b) + " here";
  };
  for (const auto& [key, value] : a.items()) say(key);
  for (const auto& [key, value] : b.items())
    if (!a.contains(key)) say(key);
  return text;
}

/// Whether the run itself makes the matrices that it rotates by.
bool finds_bases(const RotationChoice& rotation) { return rotation.high_share > 0 && rotation.file.empty(); }

/// Relative to ‖W X‖²; NaN when that is zero.
double relative(double value, double norm) { return value / norm; }

Json describe_machine() {
  const auto backend = make_cpu_backend();
  const auto& cpu = backend->info();
  return {{"processor", cpu.name}, {"features", cpu.features}, {"threads", thread_count()}, {"memory_bytes", cpu.memory_bytes}};
}

}  // namespace

LayerRecord record_of(const SolvedLayer& solved, const std::string& sha256) {
  const auto& [task, solution, seconds] = solved;
  const auto& layer = *task.layer;
  const auto& scheme = task.scheme;
  const auto& losses = solution.losses;
  const double norm = losses.norm_wx;
  LayerRecord record;
  record.name = layer.name;
  record.method = scheme.method;
  record.weight_bits = scheme.weight.bits;
  record.activation_bits = scheme.activation.bits;
  record.factor_bits = scheme.factors.bits;
  record.group_size = scheme.weight.group_size;
  record.rank = solution.pair.rank();
  record.out_features = layer.out_features;
  record.in_features = layer.in_features;
  record.bits_per_weight = layer_size(scheme, layer.out_features, layer.in_features).bits_per_weight(layer.parameters());
  record.loss = relative(losses.loss, norm);
  record.loss_uncorrected = relative(losses.loss_uncorrected, norm);
  record.loss_regularized = relative(losses.loss_regularized, norm);
  record.lower_bound = relative(losses.lower_bound, norm);
  record.weights_only = relative(losses.weights_only, norm);
  record.activations_only = relative(losses.activations_only, norm);
  if (losses.held_out && losses.held_out_norm) record.held_out_loss = relative(*losses.held_out, *losses.held_out_norm);
  record.range_finder_missed = losses.range_finder_missed;
  record.tokens = task.tokens;
  record.warning = task.warning;
  record.seconds = seconds;
  if (!sha256.empty()) record.file = "layers/" + layer.name + ".safetensors";
  record.sha256 = sha256;
  return record;
}

OneRun::OneRun(const RunRequest& request, std::shared_ptr<const Model> model, std::shared_ptr<const RunCorpus> corpus)
    : request_(request), model_(std::move(model)), corpus_(std::move(corpus)) {
  folder_.emplace(request_.folder);
  begin_or_continue();
}

std::size_t OneRun::blocks_to_walk() const {
  std::size_t blocks = model_->config().blocks;
  while (blocks > 0 && missing_of(blocks - 1).empty()) --blocks;
  return blocks;
}

void OneRun::begin_or_continue() {
  const auto& path = folder_->path();
  const std::string model_sha256 = model_->checkpoint().sha256();
  const std::string& rotation_file = request_.recipe.rotation.file;
  std::string rotation_sha256 = rotation_file.empty() ? "" : sha256_of_file(rotation_file);
  std::optional<Manifest> before;
  if (is_run_folder(path)) {
    before = read_manifest(path);
    const std::string way_out = "; choose another folder, or the same inputs to continue it.";
    if (before->model_sha256 != model_sha256)
      throw Error(ErrorKind::bad_input, path.string() + " holds a run of another model (" + before->model_name + " from " +
                                            before->model_path.string() + ")" + way_out);
    if (before->calibration_sha256 != corpus_->sha256)
      throw Error(ErrorKind::bad_input,
                  path.string() + " holds a run with another calibration text (" + before->calibration_path + ")" + way_out);
    if (before->calibration_mix_sha256 != corpus_->mix_sha256)
      throw Error(ErrorKind::bad_input, path.string() + " holds a run with another second calibration text (" +
                                            (before->calibration_mix_path.empty() ? "none" : before->calibration_mix_path) + ")" + way_out);
    if (finds_bases(request_.recipe.rotation))
      rotation_sha256 = before->rotation_sha256;
    else if (before->rotation_sha256 != rotation_sha256)
      throw Error(ErrorKind::bad_input, path.string() + " holds a run with other imported rotations" + way_out);
    if (const auto fields = differing_fields(before->recipe, request_.recipe); !fields.empty())
      throw Error(ErrorKind::bad_input, path.string() + " holds a run with another recipe (" + fields + ")" + way_out);
  } else if (!folder_->is_fresh()) {
    throw Error(ErrorKind::bad_input, path.string() + " holds other files and is no run folder; choose a new or an empty folder.");
  }
  folder_->remove_left_overs("layers");
  folder_->remove_left_overs("transforms");

  manifest_.program_version = program_version();
  std::error_code code;
  manifest_.model_path = std::filesystem::absolute(request_.model_path.empty() ? model_->checkpoint().path() : request_.model_path, code);
  manifest_.model_sha256 = model_sha256;
  manifest_.model_name = model_->display_name();
  manifest_.recipe = request_.recipe;
  for (const auto& layer : model_->layers()) manifest_.effective.emplace_back(layer.name, effective_scheme(request_.recipe, layer));
  manifest_.calibration_path = corpus_->path;
  manifest_.calibration_sha256 = corpus_->sha256;
  manifest_.calibration_tokens = corpus_->calibration_tokens();
  manifest_.calibration_mix_path = corpus_->mix_path;
  manifest_.calibration_mix_sha256 = corpus_->mix_sha256;
  manifest_.rotation_sha256 = rotation_sha256;
  manifest_.machine = describe_machine();
  const auto sizes = sizes_of(request_.recipe, *model_);
  manifest_.bits_per_weight = sizes.bits_per_weight();
  manifest_.file_bytes = sizes.file_bytes();
  manifest_.layers_total = sizes.layers;
  manifest_.fingerprint = fingerprint(*model_, request_.recipe, corpus_->identity());
  if (before) {
    // A clip that was searched for is a fact of the finished layers.
    if (request_.recipe.search_clip && before->effective.size() == manifest_.effective.size())
      for (std::size_t i = 0; i < manifest_.effective.size(); ++i)
        manifest_.effective[i].second.activation.clip = before->effective[i].second.activation.clip;
    manifest_.layers = std::move(before->layers);
    manifest_.transforms = std::move(before->transforms);
    manifest_.refinements = std::move(before->refinements);
    manifest_.timings = std::move(before->timings);
    manifest_.peak_memory_bytes = before->peak_memory_bytes;
    manifest_.evaluation = std::move(before->evaluation);
    manifest_.evaluation_protocol = std::move(before->evaluation_protocol);
    keep_finished_layers();
  }
  if (!rotation_file.empty()) keep_rotation();
  save();
  std::filesystem::create_directories(path / "layers", code);
  if (code) throw Error(ErrorKind::io, "The folder " + (path / "layers").string() + " cannot be made: " + code.message() + ".");
}

bool OneRun::has_rotation_file() const {
  const auto kept = folder_->path() / imported_rotation_file;
  std::error_code code;
  return std::filesystem::is_regular_file(kept, code) && sha256_of_file(kept) == manifest_.rotation_sha256;
}

std::filesystem::path OneRun::rotation_place() const {
  const auto kept = folder_->path() / imported_rotation_file;
  std::error_code code;
  std::filesystem::create_directories(kept.parent_path(), code);
  if (code) throw Error(ErrorKind::io, "The folder " + kept.parent_path().string() + " cannot be made: " + code.message() + ".");
  return kept;
}

// The run opens without the file that it came from.
void OneRun::keep_rotation() {
  if (!has_rotation_file()) write_file_atomically(rotation_place(), read_file(request_.recipe.rotation.file));
}

bool OneRun::lacks_bases() const { return finds_bases(manifest_.recipe.rotation) && !has_rotation_file(); }

void OneRun::set_bases(const ImportedRotations& bases) {
  const auto place = rotation_place();
  save_rotations(place, bases);
  const std::string sha256 = sha256_of_file(place);
  if (!manifest_.layers.empty() && manifest_.rotation_sha256 != sha256)
    throw Error(ErrorKind::bad_input, folder_->path().string() + " has lost the principal bases that its layers were solved with (" +
                                          imported_rotation_file +
                                          "), and this machine finds others; put the file back, or choose "
                                          "another folder.");
  manifest_.rotation_sha256 = sha256;
  save();
}

RotationChoice OneRun::rotation() const {
  RotationChoice choice = manifest_.recipe.rotation;
  if (choice.matrices()) choice.file = (folder_->path() / imported_rotation_file).string();
  return choice;
}

void OneRun::keep_finished_layers() {
  auto& layers = manifest_.layers;
  std::vector<char> good(layers.size());
  parallel_for(layers.size(), 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const auto file = folder_->path() / layers[i].file;
      std::error_code code;
      good[i] = std::filesystem::is_regular_file(file, code) && sha256_of_file(file) == layers[i].sha256;
    }
  });
  // A layer is worth nothing without the scales that its block had.
  std::set<std::size_t> scaled;
  std::erase_if(manifest_.transforms, [&](const TransformRecord& transform) {
    const auto file = folder_->path() / transform.file;
    std::error_code code;
    const bool is_there = std::filesystem::is_regular_file(file, code) && sha256_of_file(file) == transform.sha256;
    return !is_there || !scaled.insert(transform.block).second;
  });
  const auto has_scales = [&](const std::string& layer) {
    const LayerInfo* info = model_->find_layer(layer);
    return request_.recipe.smoothing == Smoothing::none || (info && scaled.contains(info->block));
  };
  std::vector<LayerRecord> kept;
  for (std::size_t i = 0; i < layers.size(); ++i)
    if (good[i] && has_scales(layers[i].name) && finished_.insert(layers[i].name).second) kept.push_back(std::move(layers[i]));
  layers = std::move(kept);
}

std::size_t OneRun::done() const {
  const std::lock_guard lock(*mutex_);
  return manifest_.layers.size();
}

bool OneRun::is_finished(const std::string& layer) const {
  const std::lock_guard lock(*mutex_);
  return finished_.contains(layer);
}

std::vector<LayerTask> OneRun::layers_of(std::size_t block) const {
  const std::lock_guard lock(*mutex_);
  std::vector<LayerTask> tasks;
  for (std::size_t i = 0; i < model_->layers().size(); ++i) {
    const auto& layer = model_->layers()[i];
    const auto& scheme = manifest_.effective[i].second;
    if (layer.block == block && !scheme.skipped) tasks.push_back({&layer, scheme});
  }
  return tasks;
}

std::vector<LayerTask> OneRun::missing_of(std::size_t block) const {
  auto tasks = layers_of(block);
  if (manifest_.recipe.refine > 0 && std::ranges::any_of(tasks, [&](const LayerTask& task) { return !is_finished(task.layer->name); }))
    return tasks;
  const std::lock_guard lock(*mutex_);
  std::erase_if(tasks, [&](const LayerTask& task) { return finished_.contains(task.layer->name); });
  return tasks;
}

void OneRun::set_clips(std::size_t block, const std::vector<float>& clips) {
  const std::lock_guard lock(*mutex_);
  for (std::size_t i = 0; i < model_->layers().size(); ++i)
    if (model_->layers()[i].block == block && !manifest_.effective[i].second.skipped)
      manifest_.effective[i].second.activation.clip = clips[model_->layers()[i].site().index()];
}

std::optional<ChannelScales> OneRun::scales_of(std::size_t block) const {
  for (const auto& transform : manifest_.transforms)
    if (transform.block == block) return read_transform(folder_->path(), transform, model_->config(), request_.recipe.rotation.r4);
  return {};
}

void OneRun::set_scales(std::size_t block, const ChannelScales& scales) {
  auto record = write_transform(folder_->path(), block, scales);
  const std::lock_guard lock(*mutex_);
  auto& transforms = manifest_.transforms;
  std::erase_if(transforms, [&](const TransformRecord& other) { return other.block == block; });
  transforms.insert(std::ranges::upper_bound(transforms, block, {}, &TransformRecord::block), std::move(record));
  save();
}

LayerRecord OneRun::finish_layer(SolvedLayer layer) {
  // The file first: a record in the manifest always has its file.
  const auto sha256 = write_layer(folder_->path(), layer.task.layer->name, layer.solution);
  auto record = record_of(layer, sha256);
  const std::lock_guard lock(*mutex_);
  const auto index_of = [&](const std::string& name) { return model_->find_layer(name) - model_->layers().data(); };
  const auto own = index_of(record.name);
  auto& layers = manifest_.layers;
  std::erase_if(layers, [&](const LayerRecord& other) { return other.name == record.name; });
  const auto place = std::find_if(layers.begin(), layers.end(), [&](const LayerRecord& other) { return index_of(other.name) > own; });
  const auto inserted = layers.insert(place, std::move(record));
  finished_.insert(inserted->name);
  manifest_.peak_memory_bytes = std::max(manifest_.peak_memory_bytes, peak_memory_bytes());
  save();
  return *inserted;
}

void OneRun::end(RunState state, const std::string& sentence) {
  const std::lock_guard lock(*mutex_);
  manifest_.state = state;
  manifest_.failure = state == RunState::failed ? sentence : std::string();
  manifest_.peak_memory_bytes = std::max(manifest_.peak_memory_bytes, peak_memory_bytes());
  try {
    save();
  } catch (const Error&) {
    if (state == RunState::done) throw;
    // The reason that is being reported already (a full disk) is the better sentence.
  }
}

void OneRun::add_refinement(const RefinementRecord& record) {
  auto& records = manifest_.refinements;
  std::erase_if(records, [&](const RefinementRecord& other) { return other.block == record.block; });
  const auto place = std::ranges::find_if(records, [&](const RefinementRecord& other) { return other.block > record.block; });
  records.insert(place, record);
}

void OneRun::add_time(const char* stage, double seconds) {
  const std::lock_guard lock(*mutex_);
  const auto found =
      std::find_if(manifest_.timings.begin(), manifest_.timings.end(), [&](const auto& timing) { return timing.first == stage; });
  if (found == manifest_.timings.end())
    manifest_.timings.emplace_back(stage, seconds);
  else
    found->second += seconds;
}

}  // namespace lrc
