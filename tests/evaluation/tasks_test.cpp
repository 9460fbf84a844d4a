// What is read and what is scored: prompts as exact strings, files, faults.
#include "evaluation/tasks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/files.h"
#include "evaluation/task_data.h"
#include "support/test_data.h"

namespace lrc::test {
namespace {

using testing::HasSubstr;

TaskItem item_of(const char* task, const char* json) {
  const Task& t = task_named(task);
  return t.item(TaskRow(Json::parse(json), "file.jsonl", 7, std::string(t.fields)));
}

/// "context|continuation" of each choice, then "|gold".
std::string shown(const TaskItem& item) {
  std::string text;
  for (const auto& choice : item.choices) text += choice.context + "|" + choice.continuation + "\n";
  return text + std::to_string(item.gold);
}

std::string problem(const std::function<void()>& work, ErrorKind kind = ErrorKind::bad_file) {
  try {
    work();
  } catch (const Error& error) {
    EXPECT_EQ(int(error.kind()), int(kind)) << error.what();
    return error.what();
  }
  return "no error";
}

TEST(Tasks, PromptsOfPiqa) {
  const std::string expected = "Question: Open a jar\nAnswer:| Twist it.\nQuestion: Open a jar\nAnswer:| Hit it.\n1";
  EXPECT_EQ(shown(item_of("piqa", R"({"query": "Question: Open a jar\n", "choices": ["Twist it.", "Hit it."], "gold": 1})")), expected);
  EXPECT_EQ(shown(item_of("piqa", R"({"goal": "Open a jar", "sol1": "Twist it.", "sol2": "Hit it.", "label": 1})")), expected);
}

TEST(Tasks, PromptsOfArc) {
  const std::string expected = "Question: Why?\nAnswer:| a\nQuestion: Why?\nAnswer:| b\nQuestion: Why?\nAnswer:| c\n2";
  for (const char* task : {"arc_easy", "arc_challenge"}) {
    EXPECT_EQ(shown(item_of(task, R"({"query": "Question: Why?", "choices": ["a", "b", "c"], "gold": 2})")), expected);
    EXPECT_EQ(shown(item_of(task, R"({"query": "Question: Why?\n", "choices": ["a", "b", "c"], "gold": 2})")), expected);
    EXPECT_EQ(
        shown(item_of(task, R"({"question": "Why?", "choices": {"text": ["a", "b", "c"], "label": ["A", "B", "C"]}, "answerKey": "C"})")),
        expected);
    EXPECT_EQ(
        shown(item_of(task, R"({"question": "Why?", "choices": {"text": ["a", "b", "c"], "label": ["1", "2", "3"]}, "answerKey": "3"})")),
        expected);
  }
}

TEST(Tasks, PromptsOfHellaSwagAreCleaned) {
  // The second part of the context: first letter large, all others small, as the harness does.
  EXPECT_EQ(shown(item_of("hellaswag", R"({"activity_label": "Roof", "ctx_a": "A man sits.", "ctx_b": "he then calls NASA and",
                                           "endings": ["waits [substeps] a [step] while.", " goes [title] Home"], "label": "1"})")),
            "Roof: A man sits. He then calls nasa and| waits a while.\nRoof: A man sits. He then calls nasa and| goes. Home\n1");
  EXPECT_EQ(
      shown(item_of("hellaswag",
                    R"({"activity_label": "Roof", "ctx_a": "A man sits. [header] How", "ctx_b": "", "endings": ["a", "b"], "label": 0})")),
      "Roof: A man sits. How| a\nRoof: A man sits. How| b\n0");
  EXPECT_EQ(shown(item_of("hellaswag", R"({"query": "Roof: he", "choices": ["sits.", "goes  home."], "gold": 0})")),
            "Roof: he| sits.\nRoof: he| goes home.\n0");
  // A bracket that never closes stays; the shortest pair goes.
  EXPECT_EQ(item_of("hellaswag", R"({"query": "q", "choices": ["a [b [c] d] e [f", "x"], "gold": 0})").choices[0].continuation,
            " a d] e [f");
}

TEST(Tasks, WinoGrandeScoresTheRestAfterEachName) {
  const std::string expected = "Ann thanked Bea because Ann| had helped.\nAnn thanked Bea because Bea| had helped.\n1";
  EXPECT_EQ(shown(item_of("winogrande",
                          R"({"sentence": "Ann thanked Bea because _ had helped.", "option1": "Ann", "option2": "Bea", "answer": "2"})")),
            expected);
  EXPECT_EQ(shown(item_of("winogrande", R"({"context_options": ["Ann thanked Bea because Ann", "Ann thanked Bea because Bea"],
                                            "continuation": "had helped.", "gold": 1})")),
            expected);
}

TEST(Tasks, LambadaAsksForTheLastWord) {
  EXPECT_EQ(shown(item_of("lambada", R"({"context": "I do not care about", "continuation": "signs"})")), "I do not care about| signs\n0");
  EXPECT_EQ(shown(item_of("lambada", R"({"text": "I do not care about signs"})")), "I do not care about| signs\n0");
  // The published passage is parted at its last blank, wherever this form of the file parts it.
  EXPECT_EQ(shown(item_of("lambada", R"({"context": "when she saw the", "continuation": "\n\nrecorder"})")),
            "when she saw| the\n\nrecorder\n0");
}

TEST(Tasks, PromptsOfCopa) {
  const std::string expected =
      "The man turned on the tap therefore| the toilet filled.\nThe man turned on the tap therefore| water flowed.\n1";
  EXPECT_EQ(
      shown(item_of("copa",
                    R"({"query": "The man turned on the tap, therefore", "choices": ["the toilet filled.", "water flowed."], "gold": 1})")),
      expected);
  EXPECT_EQ(shown(item_of("copa", R"({"premise": "The man turned on the tap.", "question": "effect", "choice1": "The toilet filled.",
                                      "choice2": "Water flowed.", "label": 1})")),
            expected);
  EXPECT_EQ(
      item_of("copa", R"({"premise": "It fell.", "question": "cause", "choice1": "A", "choice2": "B", "label": 0})").choices[1].context,
      "It fell because");
}

TEST(Tasks, CharactersNotBytesAndWithoutTheBlank) {
  const auto item = item_of("piqa", R"({"query": "q", "choices": ["32° F", "abc"], "gold": 0})");
  EXPECT_EQ(item.choices[0].characters, 5u);
  EXPECT_EQ(item.choices[1].characters, 3u);
}

TEST(Tasks, FaultsNameFileLineAndField) {
  const auto fault = [](const char* task, const char* json) { return problem([&] { item_of(task, json); }); };
  EXPECT_THAT(fault("piqa", R"({"choices": ["a", "b"], "gold": 0})"),
              testing::AllOf(HasSubstr("file.jsonl line 7"), HasSubstr("field query")));
  EXPECT_THAT(fault("piqa", R"({"query": "q", "gold": 0})"), HasSubstr("field choices"));
  EXPECT_THAT(fault("piqa", R"({"query": "q", "choices": ["a", "b"]})"), HasSubstr("field gold"));
  EXPECT_THAT(fault("piqa", R"({"query": "q", "choices": ["a", "b"], "gold": 2})"), HasSubstr("gold 2"));
  EXPECT_THAT(fault("piqa", R"({"query": "q", "choices": ["a", "b"], "gold": -1})"), HasSubstr("gold -1"));
  EXPECT_THAT(fault("piqa", R"({"query": "q", "choices": ["a", "b"], "gold": 0.5})"), HasSubstr("gold 0.5"));
  EXPECT_THAT(fault("piqa", R"({"query": "q", "choices": ["a"], "gold": 0})"), HasSubstr("at least two"));
  EXPECT_THAT(fault("piqa", R"({"query": "q", "choices": ["a", ""], "gold": 0})"), HasSubstr("empty"));
  EXPECT_THAT(fault("piqa", R"({"query": 3, "choices": ["a", "b"], "gold": 0})"), HasSubstr("query that is no text"));
  EXPECT_THAT(fault("piqa", R"([1])"), HasSubstr("no JSON object"));
  EXPECT_THAT(fault("arc_easy", R"({"question": "q", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "D"})"),
              HasSubstr("answerKey"));
  EXPECT_THAT(fault("winogrande", R"({"sentence": "no gap", "option1": "a", "option2": "b", "answer": "1"})"), HasSubstr("blank"));
  EXPECT_THAT(fault("winogrande", R"({"sentence": "a _ b", "option1": "a", "option2": "b", "answer": ""})"), HasSubstr("answer"));
  EXPECT_THAT(fault("lambada", R"({"text": "word"})"), HasSubstr("last word"));
  EXPECT_THAT(fault("copa", R"({"premise": "p.", "question": "why", "choice1": "a", "choice2": "b", "label": 0})"), HasSubstr("question"));
  EXPECT_THAT(fault("hellaswag", R"({"query": "q", "choices": ["[x]", "b"], "gold": 0})"), HasSubstr("mark-up"));
  EXPECT_THAT(problem([] { task_named("mmlu"); }, ErrorKind::bad_input), testing::AllOf(HasSubstr("mmlu"), HasSubstr("piqa, arc_easy")));
}

const std::string row = R"({"query": "q", "choices": ["a", "b"], "gold": 0})";

TEST(TaskData, LinesAndTheirNumbers) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "piqa.jsonl";
  write_file_atomically(file, row + "\r\n\n" + row + "\n" + row);
  const TaskData all = read_task(task_named("piqa"), file, 0);
  ASSERT_EQ(all.items.size(), 3u);
  EXPECT_EQ(all.items[1].line, 3u);
  EXPECT_EQ(all.sha256.size(), 64u);
  EXPECT_EQ(read_task(task_named("piqa"), file, 2).items.size(), 2u);

  write_file_atomically(file, row + "\n{\"query\": \"q\", \"choi");
  EXPECT_THAT(problem([&] { read_task(task_named("piqa"), file, 0); }), HasSubstr("piqa.jsonl line 2"));
  EXPECT_EQ(read_task(task_named("piqa"), file, 1).items.size(), 1u) << "what is not asked for is not looked at";
  write_file_atomically(file, "\n");
  EXPECT_THAT(problem([&] { read_task(task_named("piqa"), file, 0); }), HasSubstr("no items"));
}

TEST(TaskData, SixLinesOfHellaSwag) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "hellaswag.txt";
  const std::string item = "Roof: he\n3\na\nb\nc\nd\n";
  write_file_atomically(file, item + item);
  const TaskData data = read_task(task_named("hellaswag"), file, 0);
  ASSERT_EQ(data.items.size(), 2u);
  EXPECT_EQ(data.items[1].line, 7u);
  EXPECT_EQ(data.items[1].gold, 3u);
  EXPECT_EQ(data.items[1].choices[3].continuation, " d");
  write_file_atomically(file, item + "Roof: he\n3\na\nb\n");
  EXPECT_THAT(problem([&] { read_task(task_named("hellaswag"), file, 0); }), HasSubstr("line 7"));
  write_file_atomically(file, "Roof: he\n4\na\nb\nc\nd\n");
  EXPECT_THAT(problem([&] { read_task(task_named("hellaswag"), file, 0); }), testing::AllOf(HasSubstr("line 1"), HasSubstr("gold 4")));
}

TEST(TaskData, FilesAreFoundByName) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder.path() / "arc" / "deeper");
  write_file_atomically(folder.path() / "piqa.jsonl", row);
  write_file_atomically(folder.path() / "arc" / "arc_easy.jsonl", row);
  write_file_atomically(folder.path() / "arc" / "deeper" / "copa.jsonl", row);
  write_file_atomically(folder.path() / "piqa.txt", "x");
  const std::vector<std::filesystem::path> place = {folder.path()};
  const auto found = find_task_files({&task_named("arc_easy"), &task_named("piqa")}, place);
  EXPECT_EQ(found[0], folder.path() / "arc" / "arc_easy.jsonl");
  EXPECT_EQ(found[1], folder.path() / "piqa.jsonl");
  EXPECT_THAT(problem([&] { find_task_files({&task_named("copa")}, place); }, ErrorKind::not_found), HasSubstr("copa.jsonl"));
  EXPECT_EQ(tasks_with_files(place).size(), 2u);
  write_file_atomically(folder.path() / "arc" / "piqa.jsonl", row);
  EXPECT_THAT(problem([&] { find_task_files({&task_named("piqa")}, place); }, ErrorKind::bad_input), HasSubstr("Both"));
  EXPECT_EQ(find_task_files({&task_named("piqa")}, {folder.path() / "piqa.jsonl"})[0], folder.path() / "piqa.jsonl");
  EXPECT_THAT(problem([&] { find_task_files({&task_named("piqa")}, {folder.path() / "none"}); }, ErrorKind::not_found), HasSubstr("none"));
}

}  // namespace
}  // namespace lrc::test
