// Tasks on stories260K: resumed, refused, compared.
#include "run/task_evaluation.h"

#include <gmock/gmock.h>

#include "run/small_run.h"
#include "support/tiny_model.h"

namespace lrc::test {
namespace {

using testing::HasSubstr;

/// Twelve questions of {query, choices, gold} and six passages.
void write_tasks(const std::filesystem::path& folder) {
  const std::vector<std::string> words = {"dog", "little girl", "park", "big red ball", "tree", "friend"};
  std::string questions, passages;
  for (std::size_t i = 0; i < 12; ++i) {
    Json row = {{"query", "Question: Lily saw a " + words[i % 6] + ". What did she do?\n"},
                {"choices", {"She played with the " + words[i % 6] + ".", "She " + words[(i + 1) % 6] + "."}},
                {"gold", i % 3 == 0 ? 1 : 0}};
    questions += row.dump() + "\n";
  }
  for (std::size_t i = 0; i < 6; ++i)
    passages += Json{{"context", "Once upon a time, there was a " + words[i] + " named"}, {"continuation", "Lily"}}.dump() + "\n";
  write_file_atomically(folder / "piqa.jsonl", questions);
  write_file_atomically(folder / "lambada.jsonl", passages);
}

struct Fixture {
  TemporaryFolder folder;
  OpenedModel model = open_model(data("stories260K/stories260K-f32.gguf"), small_model());
  TaskRequest request;

  Fixture() {
    write_tasks(folder.path());
    request.data = {folder.path()};
    request.state = folder.path() / "state.json";
  }
  TaskReport evaluate(const OpenedModel* reference = nullptr, std::stop_token stop = {}, Progress::Callback callback = {}) {
    Progress progress(std::move(callback));
    return evaluate_tasks(model, reference, request, progress, stop);
  }
  std::vector<std::vector<ItemScore>> scores() const {
    std::vector<std::vector<ItemScore>> result;
    const auto state = read_task_state(request.state);
    for (const auto& entry : state->scores) result.push_back(entry.items);
    return result;
  }
};

TEST(TaskEvaluation, FiguresFollowFromTheScores) {
  Fixture f;
  std::vector<ProgressUpdate> updates;
  const TaskReport report = f.evaluate(nullptr, {}, [&](const ProgressUpdate& update) { updates.push_back(update); });
  ASSERT_EQ(report.results.size(), 2u);
  EXPECT_EQ(report.results[0].task, "piqa");
  EXPECT_EQ(report.results[1].task, "lambada");
  EXPECT_TRUE(report.bos) << "the tokenizer of stories260K begins with BOS by itself";
  EXPECT_EQ(report.scored, 18u);
  EXPECT_EQ(updates.back().done, 18u);
  EXPECT_EQ(updates.back().total, 18u);

  // From the stored log-likelihoods by hand.
  const auto stored = f.scores();
  std::size_t right = 0, right_norm = 0;
  const TaskData items = read_task(task_named("piqa"), f.folder.path() / "piqa.jsonl", 0);
  for (std::size_t i = 0; i < 12; ++i) {
    const double a = stored[0][i][0].log_likelihood, b = stored[0][i][1].log_likelihood;
    const double length_a = double(items.items[i].choices[0].continuation.size() - 1);
    const double length_b = double(items.items[i].choices[1].continuation.size() - 1);
    right += (a >= b ? 0u : 1u) == items.items[i].gold;
    right_norm += (a / length_a >= b / length_b ? 0u : 1u) == items.items[i].gold;
  }
  EXPECT_DOUBLE_EQ(report.results[0].figures.accuracy.value, double(right) / 12);
  EXPECT_DOUBLE_EQ(report.results[0].figures.normalized_accuracy->value, double(right_norm) / 12);
  EXPECT_FALSE(report.results[1].figures.normalized_accuracy);
  EXPECT_TRUE(report.results[1].figures.perplexity);
  const Json json = to_json(report);
  EXPECT_EQ(json["tasks"][0]["count"], 12);
  EXPECT_TRUE(json["tasks"][0].contains("acc_norm_stderr"));
  EXPECT_EQ(json["tasks"][0]["acc_interval_95"].size(), 2u);
}

TEST(TaskEvaluation, ContinuedIsAsNeverStopped) {
  Fixture whole, broken;
  whole.evaluate();
  for (const std::size_t after : {1u, 7u, 14u}) {
    std::stop_source stop;
    EXPECT_EQ(sentence_of(ErrorKind::stopped,
                          [&] {
                            broken.evaluate(nullptr, stop.get_token(), [&](const ProgressUpdate& update) {
                              if (update.done >= after) stop.request_stop();
                            });
                          })
                  .empty(),
              false);
  }
  const TaskReport rest = broken.evaluate();
  EXPECT_GE(rest.resumed, 14u);
  EXPECT_LT(rest.scored, 5u);
  EXPECT_EQ(whole.scores(), broken.scores());
  EXPECT_EQ(broken.evaluate().scored, 0u);
}

TEST(TaskEvaluation, ALargerLimitGoesOnAndASmallerOneLooksAtLess) {
  Fixture f, whole;
  f.request.limit = 4;
  EXPECT_EQ(f.evaluate().results[0].figures.accuracy.count, 4u);
  f.request.limit = 9;
  const TaskReport more = f.evaluate();
  EXPECT_EQ(more.resumed, 8u);
  EXPECT_EQ(more.scored, 7u);
  f.request.limit = 4;
  EXPECT_EQ(f.evaluate().results[0].figures.accuracy.count, 4u);
  f.request.limit = 0;
  f.evaluate();
  whole.evaluate();
  EXPECT_EQ(f.scores(), whole.scores());
}

TEST(TaskEvaluation, AnotherModelFileOrBosIsRefused) {
  Fixture f;
  f.evaluate();
  const auto refused = [&](ErrorKind kind = ErrorKind::bad_input) { return sentence_of(kind, [&] { f.evaluate(); }); };
  const std::string before = read_file(f.request.state);
  f.request.bos = false;
  EXPECT_THAT(refused(), HasSubstr("BOS"));
  f.request.bos.reset();
  f.request.device = "cpu:scalar";
  EXPECT_THAT(refused(), HasSubstr("device cpu"));
  f.request.device = "cpu";
  f.model = open_model(data("stories260K/stories260K-f16.gguf"));
  EXPECT_THAT(refused(), testing::AllOf(HasSubstr("stories260K-f32"), HasSubstr("stories260K-f16")));
  f.model = open_model(data("stories260K/stories260K-f32.gguf"), small_model());
  EXPECT_EQ(read_file(f.request.state), before) << "a refusal touches nothing";

  const auto file = f.folder.path() / "piqa.jsonl";
  const std::string text = read_file(file);
  write_file_atomically(file, text + text.substr(0, text.find('\n') + 1));
  EXPECT_THAT(refused(), testing::AllOf(HasSubstr("another file"), HasSubstr("piqa")));
  write_file_atomically(file, text);
  for (const char* damage : {"{}", "[]", R"({"format_version": 1, "model": {"name": 1}})", R"({"format_version": 1)"}) {
    write_file_atomically(f.request.state, damage);
    EXPECT_THAT(refused(ErrorKind::bad_file), HasSubstr("state.json"));
  }
  write_file_atomically(f.request.state, R"({"format_version": 99})");
  EXPECT_THAT(refused(ErrorKind::unsupported), HasSubstr("99"));
}

TEST(TaskEvaluation, BesideAReference) {
  Fixture f;
  const TaskReport same = f.evaluate(&f.model);
  for (const TaskResult& result : same.results) {
    EXPECT_EQ(result.paired->agreement, 1.0);
    EXPECT_EQ(result.paired->difference, 0.0);
    EXPECT_EQ(*result.paired->standard_error, 0.0);
    EXPECT_EQ(result.reference->accuracy.value, result.figures.accuracy.value);
  }
  EXPECT_EQ(same.scored, 36u);
  // Known on both sides now; another reference is scored beside the first.
  EXPECT_EQ(f.evaluate(&f.model).scored, 0u);
  const OpenedModel half = open_model(data("stories260K/stories260K-f16.gguf"));
  EXPECT_EQ(f.evaluate(&half).scored, 18u);
  EXPECT_EQ(read_task_state(f.request.state)->references.size(), 2u);
  const Json json = to_json(same);
  EXPECT_EQ(json["tasks"][0]["reference"]["paired_norm"]["agreement"], 1.0);
}

TEST(TaskEvaluation, ComplainsBeforeItWorks) {
  Fixture f;
  const auto file = f.folder.path() / "piqa.jsonl";
  const std::string text = read_file(file);
  write_file_atomically(file, text + "{\"query\": ");
  EXPECT_THAT(sentence_of(ErrorKind::bad_file, [&] { f.evaluate(); }), HasSubstr("piqa.jsonl line 13"));
  std::string words = "Question:";
  for (int i = 0; i < 900; ++i) words += " dog";
  write_file_atomically(file, text + Json{{"query", words}, {"choices", {"a", "b"}}, {"gold", 0}}.dump() + "\n");
  EXPECT_THAT(sentence_of(ErrorKind::bad_input, [&] { f.evaluate(); }),
              testing::AllOf(HasSubstr("item 13 of piqa"), HasSubstr("context of 512")));
  EXPECT_FALSE(std::filesystem::exists(f.request.state));
  f.request.tasks = {"copa"};
  EXPECT_THAT(sentence_of(ErrorKind::not_found, [&] { f.evaluate(); }), HasSubstr("copa.jsonl"));
  f.request.tasks = {"nothing"};
  EXPECT_THAT(sentence_of(ErrorKind::bad_input, [&] { f.evaluate(); }), HasSubstr("nothing"));

  // A model without a tokenizer.
  const auto bare = f.folder.path() / "bare";
  std::filesystem::create_directories(bare);
  write_checkpoint(bare, tiny_weights());
  f.model = open_model(bare);
  f.request.tasks = {"piqa"};
  EXPECT_THAT(sentence_of(ErrorKind::unsupported, [&] { f.evaluate(); }), HasSubstr("tokenizer"));
}

TEST(TaskEvaluation, ARunBesideItsOriginal) {
  Fixture f;
  const auto folder = f.folder.path() / "run";
  carry_out(small_request(folder, small_recipe(f.folder.path() / "text.txt")));
  const OpenedModel original = f.model;
  f.model = open_model(folder, small_model());
  f.request.state = task_state_of_run(folder);
  f.request.limit = 3;
  const TaskReport report = f.evaluate(&original);
  EXPECT_EQ(report.results[0].figures.accuracy.count, 3u);
  const auto state = read_task_state(folder / "tasks.json");
  ASSERT_TRUE(state);
  EXPECT_EQ(state->report["tasks"].size(), 2u);

  Manifest manifest = read_manifest(folder);
  const StoredTasks stored = stored_tasks(folder, manifest);
  ASSERT_EQ(stored.results.size(), 2u);
  EXPECT_TRUE(stored.results[0].normalized);
  EXPECT_EQ(stored.results[0].value, report.results[0].figures.normalized_accuracy->value);
  EXPECT_EQ(stored.results[0].original, report.results[0].reference->normalized_accuracy->value);
  EXPECT_FALSE(stored.results[1].normalized);
  // Solved again since: the figures are another model's.
  manifest.layers[0].sha256 = std::string(64, '0');
  EXPECT_TRUE(stored_tasks(folder, manifest).outdated);
  EXPECT_TRUE(stored_tasks(f.folder.path(), manifest).results.empty());
  EXPECT_NE(state->scores[0].items[0][0].log_likelihood, state->references[0].scores[0].items[0][0].log_likelihood);
}

}  // namespace
}  // namespace lrc::test
