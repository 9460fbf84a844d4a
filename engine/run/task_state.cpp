#include "run/task_state.h"

#include <cmath>

#include "base/error.h"
#include "base/files.h"
#include "run/manifest.h"

namespace lrc {
namespace {

constexpr int newest_format = 1;

[[noreturn]] void damaged(const std::filesystem::path& file, const std::string& what) {
  throw Error(ErrorKind::bad_file, file.string() + ": " + what + "; delete the file and evaluate again.");
}

const Json& at(const std::filesystem::path& file, const Json& json, const char* key) {
  if (!json.is_object() || !json.contains(key)) damaged(file, "the key " + std::string(key) + " is missing");
  return json[key];
}

std::string text(const std::filesystem::path& file, const Json& json, const char* key) {
  const Json& value = at(file, json, key);
  if (!value.is_string()) damaged(file, std::string(key) + " is not a text");
  return value.get<std::string>();
}

bool flag(const std::filesystem::path& file, const Json& json, const char* key) {
  const Json& value = at(file, json, key);
  if (!value.is_boolean()) damaged(file, std::string(key) + " is not true or false");
  return value.get<bool>();
}

Json to_json(const TaskModel& model) { return {{"name", model.name}, {"path", model.path}, {"identity", model.identity}}; }
TaskModel model_from(const std::filesystem::path& file, const Json& json) {
  return {text(file, json, "name"), text(file, json, "path"), text(file, json, "identity")};
}

/// An item as [log-likelihood, …] and, in the same order, whether each is greedy.
Json to_json(const std::vector<TaskScores>& list) {
  Json result = Json::array();
  for (const TaskScores& scores : list) {
    Json values = Json::array(), greedy = Json::array();
    for (const ItemScore& item : scores.items) {
      Json row = Json::array();
      Json flags = Json::array();
      for (const ChoiceScore& choice : item) {
        row.push_back(choice.log_likelihood);
        flags.push_back(choice.greedy ? 1 : 0);
      }
      values.push_back(std::move(row));
      greedy.push_back(std::move(flags));
    }
    result.push_back({{"task", scores.task},
                      {"file", scores.file},
                      {"sha256", scores.sha256},
                      {"log_likelihoods", std::move(values)},
                      {"greedy", std::move(greedy)}});
  }
  return result;
}

std::vector<TaskScores> scores_from(const std::filesystem::path& file, const Json& json) {
  if (!json.is_array()) damaged(file, "scores is not a list");
  std::vector<TaskScores> result;
  for (const Json& entry : json) {
    TaskScores scores{text(file, entry, "task"), text(file, entry, "file"), text(file, entry, "sha256"), {}};
    const Json &values = at(file, entry, "log_likelihoods"), &greedy = at(file, entry, "greedy");
    if (!values.is_array() || !greedy.is_array() || values.size() != greedy.size())
      damaged(file, "log_likelihoods and greedy of " + scores.task + " do not fit each other");
    for (std::size_t i = 0; i < values.size(); ++i) {
      ItemScore item;
      if (!values[i].is_array() || values[i].empty() || !greedy[i].is_array() || values[i].size() != greedy[i].size())
        damaged(file, "item " + std::to_string(i + 1) + " of " + scores.task + " is no list of numbers");
      for (std::size_t c = 0; c < values[i].size(); ++c) {
        if (!values[i][c].is_number() || !greedy[i][c].is_number())
          damaged(file, "item " + std::to_string(i + 1) + " of " + scores.task + " is no list of numbers");
        item.push_back({values[i][c].get<double>(), greedy[i][c].get<double>() != 0});
      }
      scores.items.push_back(std::move(item));
    }
    result.push_back(std::move(scores));
  }
  return result;
}

}  // namespace

std::filesystem::path task_state_of_run(const std::filesystem::path& run_folder) { return run_folder / "tasks.json"; }

std::optional<TaskState> read_task_state(const std::filesystem::path& file) {
  std::error_code code;
  if (!std::filesystem::exists(file, code)) return std::nullopt;
  const Json json = read_json_file(file);
  const Json& format = at(file, json, "format_version");
  if (!format.is_number_integer() || format.get<std::int64_t>() < 1) damaged(file, "format_version is not a whole number");
  if (format.get<std::int64_t>() > newest_format)
    throw Error(ErrorKind::unsupported, file.string() + " has format " + format.dump() + "; this program (" +
                                            std::string(program_version()) + ") reads up to " + std::to_string(newest_format) +
                                            ", a newer one is needed.");
  TaskState state;
  state.model = model_from(file, at(file, json, "model"));
  state.device = text(file, json, "device");
  state.bos = flag(file, json, "bos");
  state.scores = scores_from(file, at(file, json, "scores"));
  const Json& references = at(file, json, "references");
  if (!references.is_array()) damaged(file, "references is not a list");
  for (const Json& reference : references)
    state.references.push_back(
        {model_from(file, at(file, reference, "model")), flag(file, reference, "bos"), scores_from(file, at(file, reference, "scores"))});
  if (json.contains("report")) state.report = json["report"];
  return state;
}

void write_task_state(const std::filesystem::path& file, const TaskState& state) {
  Json json = {{"format_version", newest_format},
               {"program_version", std::string(program_version())},
               {"model", to_json(state.model)},
               {"device", state.device},
               {"bos", state.bos},
               {"report", state.report},
               {"scores", to_json(state.scores)},
               {"references", Json::array()}};
  for (const auto& reference : state.references)
    json["references"].push_back({{"model", to_json(reference.model)}, {"bos", reference.bos}, {"scores", to_json(reference.scores)}});
  write_file_atomically(file, json.dump() + "\n");
}

}  // namespace lrc
