// Many runs from the command line: tasks, sweeps, sensitivities, allocation.
#include "command_line.h"

namespace lrc::test {
namespace {

TEST(Cli, TasksAreEvaluatedContinuedAndCompared) {
  const TemporaryFolder folder;
  const std::string text = corpus(folder), run = (folder.path() / "run").string(), out = (folder.path() / "report.json").string();
  const auto file = folder.path() / "copa.jsonl";
  std::string rows;
  for (int i = 0; i < 40; ++i)
    rows += R"({"query": "Lily lost her ball number )" + std::to_string(i) +
            R"(, therefore", "choices": ["she was sad.", "the moon was a dog."], "gold": 0})"
            "\n";
  write_file_atomically(file, rows);

  const std::vector<std::string> arguments = {"evaluate", model, "--tasks", "copa", "--data", file.string(), "--progress", "none"};
  const Json plain = json_of(arguments);
  ASSERT_EQ(plain["tasks"].size(), 1u);
  const Json& task = plain["tasks"][0];
  EXPECT_EQ(task["task"], "copa");
  EXPECT_EQ(task["count"], 40);
  EXPECT_GE(task["acc"].get<double>(), 0.5);
  EXPECT_TRUE(task.contains("acc_stderr"));
  EXPECT_FALSE(task.contains("acc_norm")) << "not part of this task's convention";
  EXPECT_LE(task["acc_interval_95"][0].get<double>(), task["acc"].get<double>());

  // Interrupted and continued: the state lies beside --out.
  auto with_out = arguments;
  with_out.insert(with_out.end(), {"--out", out});
  const auto interrupted = run_program(LRC_PROGRAM, with_out, 0.1);
  EXPECT_TRUE(interrupted.exit_code == 130 || interrupted.exit_code == 0) << interrupted.err;
  const Json continued = json_of(with_out);
  EXPECT_EQ(continued["tasks"][0]["acc"], task["acc"]);
  EXPECT_EQ(Json::parse(read_file(out))["tasks"], continued["tasks"]);
  EXPECT_EQ(json_of(with_out)["items_scored"], 0);

  json_of(quantize_arguments(text, run));
  const Json beside =
      json_of({"evaluate", run, "--data", folder.path().string(), "--limit", "5", "--reference", model, "--progress", "none"});
  EXPECT_EQ(beside["tasks"][0]["count"], 5);
  EXPECT_EQ(beside["tasks"][0]["reference"]["paired"]["agreement"].get<double>() <= 1.0, true);
  const Json compared = json_of({"compare", run});
  EXPECT_EQ(compared["runs"][0]["tasks"], beside["tasks"]);
  EXPECT_TRUE(compared["warnings"].empty());
  EXPECT_NE(lrc({"compare", run}).out.find("copa"), std::string::npos);

  write_file_atomically(file, rows + "{\"query\": 1}\n");
  const auto broken = lrc(arguments);
  EXPECT_EQ(broken.exit_code, 1);
  EXPECT_NE(broken.err.find("copa.jsonl line 41"), std::string::npos) << broken.err;
  EXPECT_EQ(lrc({"evaluate", model}).exit_code, 2) << "--data is needed";
}

TEST(Cli, SweepSetsRecipesBesideEachOtherAndContinues) {
  const TemporaryFolder folder;
  const std::string text = corpus(folder), out = (folder.path() / "sweep").string();
  const std::vector<std::string> common = {
      "--out",     out,   "--calibration", text, "--calibration-tokens", "1024", "--calibration-context", "128", "--text", text,
      "--context", "128", "--windows",     "2",  "--progress",           "none"};
  std::vector<std::string> arguments = {"sweep", model, "--recipes", "RTN W4A4", "LRC 10 %"};
  arguments.insert(arguments.end(), common.begin(), common.end());
  const Json first = json_of(arguments);
  ASSERT_EQ(first["runs"].size(), 2u);
  EXPECT_GT(first["runs"][0]["kl"].get<double>(), first["runs"][1]["kl"].get<double>());
  EXPECT_LT(first["runs"][0]["bits_per_weight"].get<double>(), first["runs"][1]["bits_per_weight"].get<double>());
  // One recipe more: the finished runs stay as they are, and each is what quantize alone makes.
  const std::string lrc_run = first["runs"][1]["path"].get<std::string>(), before = layer_bytes(lrc_run);
  arguments.insert(arguments.begin() + 3, "GPTQ W4A4");
  EXPECT_EQ(json_of(arguments)["runs"].size(), 3u);
  EXPECT_EQ(layer_bytes(lrc_run), before);
  // What was evaluated in the same way is not evaluated again; on other windows it is.
  const auto seconds_of = [&] { return read_json_file(std::filesystem::path(lrc_run) / "manifest.json")["evaluation"]["seconds"]; };
  const Json seconds = seconds_of();
  json_of(arguments);
  EXPECT_EQ(seconds_of(), seconds);
  auto on_three = arguments;
  on_three[std::size_t(std::ranges::find(on_three, "--windows") - on_three.begin()) + 1] = "3";
  EXPECT_EQ(json_of(on_three)["runs"].size(), 3u);
  EXPECT_EQ(read_json_file(std::filesystem::path(lrc_run) / "manifest.json")["evaluation"]["windows"], 3);
  const std::string alone = (folder.path() / "alone").string();
  json_of(quantize_arguments(text, alone));
  EXPECT_EQ(layer_bytes(alone), before);

  arguments.insert(arguments.begin() + 3, "GPTQ W4A4");
  const auto twice = lrc([&] {
    auto a = arguments;
    a.push_back("--json");
    return a;
  }());
  EXPECT_EQ(twice.exit_code, 1);
  EXPECT_NE(twice.err.find("GPTQ W4A4"), std::string::npos) << twice.err;
}

TEST(Cli, SweepAtEqualBytesDrawsTheFrontier) {
  const TemporaryFolder folder;
  const std::string text = corpus(folder), out = (folder.path() / "sweep").string(), picture = (folder.path() / "frontier.svg").string();
  const Json result = json_of({"sweep",
                               model,
                               "--recipes",
                               "GPTQ W4A4",
                               "LRC 10 %",
                               "LRC 10 % int8 factors",
                               "--bits-per-weight",
                               "6.5",
                               "--out",
                               out,
                               "--calibration",
                               text,
                               "--calibration-tokens",
                               "1024",
                               "--calibration-context",
                               "128",
                               "--text",
                               text,
                               "--context",
                               "128",
                               "--windows",
                               "2",
                               "--progress",
                               "none",
                               "--svg",
                               picture});
  ASSERT_EQ(result["runs"].size(), 3u);
  const std::string svg = read_file(picture);
  EXPECT_EQ(svg.rfind("<svg", 0), 0u);
  for (const Json& run : result["runs"]) {
    EXPECT_NEAR(run["bits_per_weight"].get<double>(), 6.5, 0.005 * 6.5) << run["name"];
    const std::string label = run["name"].get<std::string>();
    EXPECT_NE(svg.find(">" + label.substr(0, label.find(", ")) + "<"), std::string::npos) << label;
  }
  EXPECT_NE(svg.find(" at 6.50 b/w: size"), std::string::npos) << "what all of them share stands in the title";
  const auto unreachable = lrc({"sweep", model, "--recipes", "LRC 10 %", "--bits-per-weight", "2", "--out", out + "2"});
  EXPECT_EQ(unreachable.exit_code, 1);
  EXPECT_NE(unreachable.err.find("LRC 10 %"), std::string::npos) << unreachable.err;
  EXPECT_NE(unreachable.err.find("nearest"), std::string::npos) << unreachable.err;
}

TEST(Cli, SensitivityOfEveryLayer) {
  const TemporaryFolder folder;
  std::vector<std::string> arguments = {
      "sensitivity", model,      "--calibration", corpus(folder), "--calibration-tokens", "1024", "--calibration-context",
      "128",         "--layers", "*.1.*",         "--exact",      "--exact-tokens",       "32",   "--progress",
      "none"};
  const Json result = json_of(arguments);
  ASSERT_EQ(result["layers"].size(), 7u);
  for (const Json& layer : result["layers"])
    for (const char* key : {"weights_only", "activations_only", "both", "kl"})
      EXPECT_GT(layer[key].get<double>(), 0) << layer["name"] << key;
  EXPECT_EQ(lrc({"sensitivity", "/no/such/model.gguf"}).exit_code, 1);
}

TEST(Cli, AllocateWritesARecipeThatQuantizeTakes) {
  const TemporaryFolder folder;
  const std::string text = corpus(folder), recipe = (folder.path() / "recipe.json").string();
  const std::string report = (folder.path() / "report.json").string(), run = (folder.path() / "run").string();
  const Json allocation = json_of({"allocate",
                                   model,
                                   "--bits-per-weight",
                                   "5",
                                   "--bits",
                                   "3,4,5",
                                   "--layers",
                                   "*.1.*",
                                   "--rank-step",
                                   "2",
                                   "--exact-tokens",
                                   "32",
                                   "--out",
                                   recipe,
                                   "--report",
                                   report,
                                   "--calibration",
                                   text,
                                   "--calibration-tokens",
                                   "1024",
                                   "--calibration-context",
                                   "128",
                                   "--progress",
                                   "none"});
  EXPECT_EQ(allocation["layers"].size(), 7u);
  EXPECT_LE(allocation["bits_per_weight"].get<double>(), 5.0);
  const Json manifest = json_of({"quantize", model, "--recipe", recipe, "--out", run, "--progress", "none"});
  EXPECT_NEAR(manifest["bits_per_weight"].get<double>(), allocation["bits_per_weight"].get<double>(), 1e-9);
  const Json achieved = json_of({"allocate", model, "--report", report, "--achieved", run});
  EXPECT_EQ(achieved["layers"].size(), 7u);
  EXPECT_TRUE(achieved.contains("rank_correlation"));
  EXPECT_EQ(lrc({"allocate", model}).exit_code, 1) << "a size is needed";
  EXPECT_EQ(lrc({"allocate", model, "--achieved", run}).exit_code, 1);
}

}  // namespace
}  // namespace lrc::test
