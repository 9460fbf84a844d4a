#pragma once
// Inside the folder: one run of a batch, what is known of it, its folder and the manifest that says so. runner.cpp drives it.
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "run/block_solver.h"
#include "run/corpus.h"
#include "run/run_folder.h"
#include "run/runner.h"
#include "run/transforms.h"

namespace lrc {

/// The recipe's fields that decide what is computed: not its name, and not where the text lies (its hash counts).
Json deciding_fields(const Recipe& recipe);

/// What a manifest says of a solved layer. `sha256` is that of its file; empty when it has none, then the record names no file.
LayerRecord record_of(const SolvedLayer& solved, const std::string& sha256);

class OneRun {
 public:
  /// Checks everything, then opens the folder and starts or continues its manifest. A refusal leaves no folder behind.
  OneRun(const RunRequest& request, std::shared_ptr<const Model> model, std::shared_ptr<const RunCorpus> corpus);

  const Manifest& manifest() const { return manifest_; }
  const RunCorpus& corpus() const { return *corpus_; }
  std::size_t done() const;
  /// Blocks up to the last one with a missing layer; those behind it need not be walked.
  std::size_t blocks_to_walk() const;
  /// The layers of a block that are to be solved and are not finished; all of it when its layers are refined together.
  std::vector<LayerTask> missing_of(std::size_t block) const;

  /// All layers of a block that are solved in this run, finished or not.
  std::vector<LayerTask> layers_of(std::size_t block) const;
  bool is_finished(const std::string& layer) const;
  const std::filesystem::path& path() const { return folder_->path(); }
  /// Facts that the run found out before solving a block: the clip of each of its sites, by Site::index().
  void set_clips(std::size_t block, const std::vector<float>& clips);

  /// Where the rotations that it imports lie inside its folder, as the recipe's choice says it to rotate_weights; the choice itself
  /// where it imports none.
  RotationChoice rotation() const;
  /// Whether the principal bases of its recipe are still to be found, or were lost.
  bool lacks_bases() const;
  /// Keeps them as transforms/rotation.safetensors. Throws Error(bad_input) when layers were solved with others.
  void set_bases(const ImportedRotations& bases);

  /// The scales of a block that were chosen when it was begun, or nothing. Throws Error when their file is damaged.
  std::optional<ChannelScales> scales_of(std::size_t block) const;
  /// Writes them down before anything of the block is solved; learned ones in their place before its layers are.
  void set_scales(std::size_t block, const ChannelScales& scales);

  /// What was evaluated before belongs to the unfinished state.
  void forget_evaluation() { manifest_.evaluation.reset(); }
  /// Writes the layer, then its record, in the place of an older one. Several threads may call it, and the functions above, at a time.
  LayerRecord finish_layer(SolvedLayer layer);
  /// Facts of a refined block; those of an earlier attempt are replaced.
  void add_refinement(const RefinementRecord& record);
  void add_time(const char* stage, double seconds);
  /// Records how it ended: done, or stopped or failed with a sentence. A failing write is reported only when done.
  void end(RunState state, const std::string& sentence = {});

 private:
  void begin_or_continue();
  void keep_finished_layers();
  void keep_rotation();
  bool has_rotation_file() const;
  /// Where it lies; its folder is made.
  std::filesystem::path rotation_place() const;
  void save() { write_manifest(folder_->path(), manifest_); }

  RunRequest request_;
  std::shared_ptr<const Model> model_;
  std::shared_ptr<const RunCorpus> corpus_;
  std::optional<RunFolder> folder_;
  Manifest manifest_;
  std::set<std::string> finished_;
  std::unique_ptr<std::mutex> mutex_ = std::make_unique<std::mutex>();  // manifest_ and finished_ while blocks are solved
};

}  // namespace lrc
