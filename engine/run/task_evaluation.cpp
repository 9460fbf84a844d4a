#include "run/task_evaluation.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "base/hash.h"
#include "base/json_reader.h"
#include "run/run_folder.h"

namespace lrc {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto state_period = std::chrono::seconds(3);

/// Tokens of every answer, by item.
using EncodedTask = std::vector<std::vector<EncodedChoice>>;

std::string identity_of(const Manifest& run) {
  Json facts = {{"model", run.model_sha256}, {"fingerprint", run.fingerprint}, {"layers", Json::array()}};
  for (const LayerRecord& layer : run.layers) facts["layers"].push_back({layer.name, layer.sha256});
  return sha256_of(facts.dump());
}

TaskModel task_model(const OpenedModel& opened) {
  return {opened.title, std::filesystem::absolute(opened.path).string(),
          opened.run ? identity_of(*opened.run) : opened.model->checkpoint().sha256()};
}

bool begins_with_bos(const TaskRequest& request, const OpenedModel& model) {
  const TokenizerSpec& spec = model.model->tokenizer()->spec();
  if (request.bos && *request.bos && !spec.bos)
    throw Error(ErrorKind::bad_input, "The tokenizer of " + model.title + " has no BOS token to begin with.");
  return request.bos.value_or(spec.add_bos) && spec.bos;
}

std::vector<TaskData> read_tasks(const TaskRequest& request) {
  std::vector<const Task*> wanted;
  for (const std::string& name : request.tasks) {
    const Task* task = &task_named(name);
    if (std::ranges::find(wanted, task) == wanted.end()) wanted.push_back(task);
  }
  if (wanted.empty()) wanted = tasks_with_files(request.data);
  if (wanted.empty()) {
    std::string names;
    for (const Task& task : tasks()) names += (names.empty() ? "" : ", ") + task.files.front() + ".jsonl";
    throw Error(ErrorKind::not_found, "There is no task file in what --data names (" + names + " were looked for).");
  }
  const auto files = find_task_files(wanted, request.data);
  std::vector<TaskData> result;
  for (std::size_t t = 0; t < wanted.size(); ++t) result.push_back(read_task(*wanted[t], files[t], request.limit));
  return result;
}

/// Every item's tokens, and the complaint about one that is too long before a model is loaded.
EncodedTask encode(const TaskData& data, const OpenedModel& model, bool bos, std::stop_token stop) {
  const auto tokenizer = model.model->tokenizer();
  EncodedTask result;
  for (std::size_t i = 0; i < data.items.size(); ++i) {
    throw_if_stopped(stop);
    const std::string origin = origin_of(*data.task, data.file.string(), data.items[i], i);
    std::vector<EncodedChoice> choices;
    for (const TaskChoice& choice : data.items[i].choices) choices.push_back(encode_choice(choice, *tokenizer, bos, origin));
    check_context(choices, model.model->config().context, origin);
    result.push_back(std::move(choices));
  }
  return result;
}

/// The part of `list` that belongs to this task's file, made when it is not there; another file of the task is refused.
TaskScores& scores_of(std::vector<TaskScores>& list, const TaskData& data, const std::filesystem::path& state) {
  for (TaskScores& scores : list) {
    if (scores.task != data.task->name) continue;
    if (scores.sha256 != data.sha256)
      throw Error(ErrorKind::bad_input, state.string() + " holds " + scores.task + " of another file (" + scores.file + ", SHA-256 " +
                                            scores.sha256.substr(0, 12) + "…) than " + data.file.string() + " (" +
                                            data.sha256.substr(0, 12) + "…); name another --state or delete it.");
    for (std::size_t i = 0; i < std::min(scores.items.size(), data.items.size()); ++i)
      if (scores.items[i].size() != data.items[i].choices.size())
        throw Error(ErrorKind::bad_file, state.string() + ": item " + std::to_string(i + 1) + " of " + scores.task +
                                             " does not have the task's number of answers; delete the file and evaluate again.");
    return scores;
  }
  list.push_back({std::string(data.task->name), std::filesystem::absolute(data.file).string(), data.sha256, {}});
  return list.back();
}

/// Scores what is missing and keeps the state on disk up to date.
class Work {
 public:
  Work(const TaskRequest& request, Progress& progress, std::stop_token stop) : request_(request), progress_(progress), stop_(stop) {}

  TaskState open_state(const TaskModel& model, bool bos) const {
    TaskState fresh;
    fresh.model = model;
    fresh.device = request_.device;
    fresh.bos = bos;
    if (request_.state.empty()) return fresh;
    auto known = read_task_state(request_.state);
    if (!known) return fresh;
    const auto refuse = [&](const std::string& difference) {
      throw Error(ErrorKind::bad_input, request_.state.string() + " holds results " + difference + "; name another --state or delete it.");
    };
    if (known->model.identity != model.identity)
      refuse("of " + known->model.name + " (" + known->model.path + ", " + known->model.identity.substr(0, 12) + "…), not of " +
             model.name + " (" + model.identity.substr(0, 12) + "…)");
    if (known->device != request_.device) refuse("of the device " + known->device + ", not of " + request_.device);
    if (known->bos != bos) refuse(known->bos ? "with a BOS token, not without" : "without a BOS token, not with one");
    known->model = model;
    return *known;
  }

  /// `done` of `total` items, over all tasks and both models, are known already.
  void plan(std::size_t total, std::size_t done) {
    total_ = total;
    done_ = resumed_ = done;
    progress_.report("evaluate", done_, total_);
  }

  void score(const OpenedModel& opened, const std::vector<TaskData>& data, const std::vector<EncodedTask>& encoded,
             std::vector<TaskScores>& list, const TaskState& state) {
    std::shared_ptr<Transformer> transformer;
    std::optional<TaskScorer> scorer;
    for (std::size_t t = 0; t < data.size(); ++t) {
      const TaskData& task = data[t];
      TaskScores& scores = scores_of(list, task, request_.state);
      if (scores.items.size() >= task.items.size()) continue;
      if (!transformer) {
        transformer = make_transformer(opened, request_.device);
        scorer.emplace(*transformer, stop_);
      }
      const auto start = Clock::now();
      try {
        for (std::size_t i = scores.items.size(); i < task.items.size(); ++i) {
          throw_if_stopped(stop_);
          scores.items.push_back(scorer->score(encoded[t][i], origin_of(*task.task, task.file.string(), task.items[i], i)));
          progress_.report("evaluate", ++done_, total_, std::string(task.task->name));
          if (Clock::now() - written_ >= state_period) write(state);
        }
      } catch (const Error&) {
        write(state);
        throw;
      }
      seconds_ += std::chrono::duration<double>(Clock::now() - start).count();
      write(state);
    }
  }

  void write(const TaskState& state) {
    written_ = Clock::now();
    if (!request_.state.empty()) write_task_state(request_.state, state);
  }

  double seconds() const { return seconds_; }
  std::size_t scored() const { return done_ - resumed_; }
  std::size_t resumed() const { return resumed_; }

 private:
  const TaskRequest& request_;
  Progress& progress_;
  std::stop_token stop_;
  std::size_t total_ = 0, done_ = 0, resumed_ = 0;
  double seconds_ = 0;
  Clock::time_point written_ = Clock::now();
};

std::size_t known_items(std::vector<TaskScores>& list, const std::vector<TaskData>& data, const std::filesystem::path& state) {
  std::size_t known = 0;
  for (const TaskData& task : data) known += std::min(scores_of(list, task, state).items.size(), task.items.size());
  return known;
}

TaskState::Reference& reference_of(TaskState& state, const TaskModel& model, bool bos) {
  for (auto& reference : state.references)
    if (reference.model.identity == model.identity && reference.bos == bos) return reference;
  state.references.push_back({model, bos, {}});
  return state.references.back();
}

std::span<const ItemScore> first_items(std::vector<TaskScores>& list, const TaskData& data, const std::filesystem::path& state) {
  return std::span<const ItemScore>(scores_of(list, data, state).items).first(data.items.size());
}

void add_figures(Json& json, const TaskFigures& figures) {
  const auto add = [&](const std::string& name, const Share& share) {
    json[name] = share.value;
    if (share.standard_error) json[name + "_stderr"] = *share.standard_error;
    json[name + "_interval_95"] = {share.low, share.high};
  };
  add("acc", figures.accuracy);
  if (figures.normalized_accuracy) add("acc_norm", *figures.normalized_accuracy);
  if (figures.perplexity) json["perplexity"] = *figures.perplexity;
}

Json to_json(const PairedShares& paired) {
  Json json = {{"agreement", paired.agreement},
               {"difference", paired.difference},
               {"only_model", paired.only_model},
               {"only_reference", paired.only_reference}};
  if (paired.standard_error) {
    json["difference_stderr"] = *paired.standard_error;
    json["difference_interval_95"] = {*paired.low, *paired.high};
  }
  return json;
}

}  // namespace

TaskReport evaluate_tasks(const OpenedModel& model, const OpenedModel* reference, const TaskRequest& request, Progress& progress,
                          std::stop_token stop) {
  const bool bos = begins_with_bos(request, model);
  const bool reference_bos = reference && begins_with_bos(request, *reference);
  const std::vector<TaskData> data = read_tasks(request);
  // Both models are asked before hours of work whether every item fits.
  std::size_t items = 0;
  std::vector<EncodedTask> encoded, reference_encoded;
  for (const TaskData& task : data) {
    items += task.items.size();
    encoded.push_back(encode(task, model, bos, stop));
    if (reference) reference_encoded.push_back(encode(task, *reference, reference_bos, stop));
  }

  std::optional<RunFolder> lock;
  if (model.run && request.state == task_state_of_run(model.path)) lock.emplace(model.path);
  Work work(request, progress, stop);
  TaskState state = work.open_state(task_model(model), bos);
  TaskState::Reference* beside = reference ? &reference_of(state, task_model(*reference), reference_bos) : nullptr;
  std::size_t known = known_items(state.scores, data, request.state);
  if (beside) known += known_items(beside->scores, data, request.state);
  work.plan(items * (beside ? 2 : 1), known);
  work.score(model, data, encoded, state.scores, state);
  if (beside) work.score(*reference, data, reference_encoded, beside->scores, state);

  TaskReport report;
  report.model = state.model;
  if (beside) report.reference = beside->model;
  report.bos = bos;
  report.device = request.device;
  report.scored = work.scored();
  report.resumed = work.resumed();
  report.seconds = work.seconds();
  for (const TaskData& task : data) {
    const auto scores = first_items(state.scores, task, request.state);
    TaskResult result{std::string(task.task->name), task.file.string(), task.sha256, figures(*task.task, task.items, scores), {}, {}, {}};
    if (beside) {
      const auto others = first_items(beside->scores, task, request.state);
      result.reference = figures(*task.task, task.items, others);
      result.paired = compare_verdicts(*task.task, task.items, scores, others, false);
      if (task.task->normalized) result.paired_normalized = compare_verdicts(*task.task, task.items, scores, others, true);
    }
    report.results.push_back(std::move(result));
  }
  state.report = to_json(report);
  work.write(state);
  return report;
}

Json to_json(const TaskReport& report) {
  Json json = {{"model", {{"name", report.model.name}, {"path", report.model.path}, {"identity", report.model.identity}}},
               {"device", report.device},
               {"bos", report.bos},
               {"tasks", Json::array()}};
  if (report.reference)
    json["reference"] = {{"name", report.reference->name}, {"path", report.reference->path}, {"identity", report.reference->identity}};
  double sum = 0;
  for (const TaskResult& result : report.results) {
    Json row = {{"task", result.task}, {"file", result.file}, {"sha256", result.sha256}, {"count", result.figures.accuracy.count}};
    add_figures(row, result.figures);
    sum += (result.figures.normalized_accuracy ? *result.figures.normalized_accuracy : result.figures.accuracy).value;
    if (result.reference) {
      Json other = Json::object();
      add_figures(other, *result.reference);
      if (result.paired) other["paired"] = to_json(*result.paired);
      if (result.paired_normalized) other["paired_norm"] = to_json(*result.paired_normalized);
      row["reference"] = other;
    }
    json["tasks"].push_back(std::move(row));
  }
  json["average"] = sum / double(std::max<std::size_t>(1, report.results.size()));
  json["items_scored"] = report.scored;
  json["items_resumed"] = report.resumed;
  json["seconds"] = report.seconds;
  if (report.scored > 0 && report.seconds > 0) json["items_per_second"] = double(report.scored) / report.seconds;
  return json;
}

StoredTasks stored_tasks(const std::filesystem::path& run_folder, const Manifest& run) {
  const auto file = task_state_of_run(run_folder);
  const auto state = read_task_state(file);
  if (!state || state->report.is_null()) return {};
  if (state->model.identity != identity_of(run)) return {{}, nullptr, true};
  StoredTasks stored{{}, state->report, false};
  const JsonReader report(stored.report, file.string() + ": report", "delete the file and evaluate again");
  const bool beside_original = report.has("reference") && report.inner("reference").text("identity") == run.model_sha256;
  for (const Json& entry : report.list("tasks")) {
    const JsonReader in(entry, report.where("tasks"), "delete the file and evaluate again");
    StoredTaskResult result{in.text("task"), in.text("sha256"), in.count("count"), 0, {}, in.has("acc_norm"), {}};
    const std::string key = result.normalized ? "acc_norm" : "acc";
    result.value = in.finite(key.c_str());
    result.standard_error = in.maybe_number((key + "_stderr").c_str());
    if (beside_original && in.has("reference")) result.original = in.inner("reference").finite(key.c_str());
    stored.results.push_back(std::move(result));
  }
  return stored;
}

}  // namespace lrc
