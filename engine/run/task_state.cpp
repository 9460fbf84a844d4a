#include "run/task_state.h"

#include "base/error.h"
#include "base/files.h"
#include "base/json_reader.h"
#include "run/manifest.h"

namespace lrc {
namespace {

constexpr unsigned newest_format = 1;

constexpr const char* advice = "delete the file and evaluate again";

Json to_json(const TaskModel& model) { return {{"name", model.name}, {"path", model.path}, {"identity", model.identity}}; }
TaskModel model_from(const JsonReader& in) { return {in.text("name"), in.text("path"), in.text("identity")}; }

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

ItemScore item_from(const Json& values, const Json& greedy, const JsonReader& in) {
  if (!values.is_array() || values.empty() || !greedy.is_array() || values.size() != greedy.size())
    in.fail("log_likelihoods", "a list of numbers for each item, with as many in greedy");
  ItemScore item;
  for (std::size_t c = 0; c < values.size(); ++c) {
    if (!values[c].is_number() || !greedy[c].is_number()) in.fail("log_likelihoods", "a list of numbers for each item");
    item.push_back({values[c].get<double>(), greedy[c].get<double>() != 0});
  }
  return item;
}

std::vector<TaskScores> scores_from(const Json& list, const std::string& where) {
  std::vector<TaskScores> result;
  for (const Json& entry : list) {
    const JsonReader in(entry, where + " " + std::to_string(result.size() + 1), advice);
    TaskScores scores{in.text("task"), in.text("file"), in.text("sha256"), {}};
    const Json &values = in.list("log_likelihoods"), &greedy = in.list("greedy");
    if (values.size() != greedy.size()) in.fail("greedy", "as long as log_likelihoods");
    for (std::size_t i = 0; i < values.size(); ++i) scores.items.push_back(item_from(values[i], greedy[i], in));
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
  const JsonReader in(json, file.string(), advice);
  if (const auto format = in.count("format_version"); format > newest_format)
    throw Error(ErrorKind::unsupported, file.string() + " has format " + std::to_string(format) + "; this program (" +
                                            std::string(program_version()) + ") reads up to " + std::to_string(newest_format) +
                                            ", a newer one is needed.");
  TaskState state;
  state.model = model_from(in.inner("model"));
  state.device = in.text("device");
  state.bos = in.flag("bos");
  state.scores = scores_from(in.list("scores"), in.where("scores"));
  for (const Json& entry : in.list("references")) {
    const JsonReader reference(entry, in.where("references"), advice);
    state.references.push_back(
        {model_from(reference.inner("model")), reference.flag("bos"), scores_from(reference.list("scores"), reference.where("scores"))});
  }
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
