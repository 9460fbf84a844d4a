// The command line as a contract: words, JSON keys, shapes, exit codes. On stories260K, with the built program.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "base/files.h"
#include "base/json.h"
#include "formats/safetensors.h"
#include "model/model.h"
#include "support/program.h"
#include "support/rotation_file.h"
#include "support/solver_case.h"
#include "support/test_data.h"

namespace lrc::test {
namespace {

const std::string model = data("stories260K/stories260K-f32.gguf").string();

ProgramResult lrc(std::vector<std::string> arguments) { return run_program(LRC_PROGRAM, arguments); }

Json json_of(std::vector<std::string> arguments) {
  arguments.push_back("--json");
  const auto result = lrc(arguments);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return Json::parse(result.out);  // exactly one object: anything else throws
}

/// A calibration text that is long enough for a few windows of 128.
std::string corpus(const TemporaryFolder& folder) {
  const auto file = folder.path() / "stories.txt";
  std::ofstream out(file);
  for (int i = 0; i < 40; ++i)
    out << "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day she saw a big dog " << i
        << " and they ran together until the sun went down.\n\n";
  return file.string();
}

std::vector<std::string> quantize_arguments(const std::string& text, const std::string& out) {
  return {"quantize",
          model,
          "--out",
          out,
          "--recipe",
          "LRC 10 %",
          "--calibration",
          text,
          "--calibration-tokens",
          "1024",
          "--calibration-context",
          "128",
          "--progress",
          "none"};
}

std::string layer_bytes(const std::filesystem::path& run) {
  std::string all;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(run / "layers")) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  for (const auto& file : files) all += file.filename().string() + read_file(file);
  return all;
}

TEST(Cli, WrongUsageExitsWithTwoAndHelpWithZero) {
  EXPECT_EQ(lrc({}).exit_code, 2);
  EXPECT_EQ(lrc({"inspect"}).exit_code, 2);
  EXPECT_EQ(lrc({"inspect", model, "--no-such-flag"}).exit_code, 2);
  EXPECT_EQ(lrc({"export", "run", "--to", "gguf"}).exit_code, 2) << "--out is needed";
  EXPECT_EQ(lrc({"--help"}).exit_code, 0);
  EXPECT_EQ(lrc({"quantize", "--help"}).exit_code, 0);
}

TEST(Cli, FailureIsOneSentenceThatNamesTheFile) {
  for (const auto& arguments : std::vector<std::vector<std::string>>{{"inspect", "/no/such/model.gguf"},
                                                                     {"tokenize", "/no/such/model.gguf", "--text", "x"},
                                                                     {"perplexity", model, "--text", "/no/such/text.txt"}}) {
    const auto result = lrc(arguments);
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_TRUE(result.out.empty());
    EXPECT_NE(result.err.find("/no/such/"), std::string::npos) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }
}

TEST(Cli, ARefusedRunLeavesNoFolderBehind) {
  const TemporaryFolder folder;
  const auto text = corpus(folder), short_text = (folder.path() / "short.txt").string();
  std::ofstream(short_text) << "Only a few words.";
  const auto out = (folder.path() / "runs" / "one").string();
  const auto refused = [&](const std::string& command, const std::string& calibration, const std::vector<std::string>& more) {
    auto arguments = quantize_arguments(calibration, out);
    arguments[0] = command;
    arguments.insert(arguments.end(), more.begin(), more.end());
    const auto result = lrc(arguments);
    EXPECT_EQ(result.exit_code, 1) << result.err;
    EXPECT_FALSE(std::filesystem::exists(folder.path() / "runs")) << result.err;
  };
  for (const char* command : {"quantize", "measure"}) {
    refused(command, "/no/such/text.txt", {});
    refused(command, short_text, {});
    refused(command, text, {"--group-size", "48"});
  }
  refused("quantize", text, {"--rank", "1000"});
}

TEST(Cli, InspectTellsSizesAndLayers) {
  const Json j = json_of({"inspect", model});
  EXPECT_EQ(j["architecture"], "llama");
  EXPECT_EQ(j["hidden_size"], 64);
  EXPECT_EQ(j["blocks"], 5);
  EXPECT_EQ(j["heads"], 8);
  EXPECT_EQ(j["kv_heads"], 4);
  EXPECT_EQ(j["head_dim"], 8);
  EXPECT_EQ(j["feed_forward"], 172);
  EXPECT_EQ(j["vocabulary"], 512);
  EXPECT_EQ(j["context"], 512);
  EXPECT_EQ(j["tied_embeddings"], true);
  EXPECT_EQ(j["chat_template"], false);
  ASSERT_EQ(j["layers"].size(), 35u);
  const Json& down = j["layers"][6];
  EXPECT_EQ(down["name"], "model.layers.0.mlp.down_proj");
  EXPECT_EQ(down["role"], "down_proj");
  EXPECT_EQ(down["out_features"], 64);
  EXPECT_EQ(down["in_features"], 172);
  EXPECT_EQ(down["parameters"], 64 * 172);
}

TEST(Cli, TokensRoundTrip) {
  const Json j = json_of({"tokenize", model, "--text", "Once upon a time"});
  std::string ids;
  for (const auto& id : j["ids"]) ids += (ids.empty() ? "" : ",") + std::to_string(id.get<int>());
  EXPECT_EQ(j["pieces"].size(), j["ids"].size());
  EXPECT_EQ(json_of({"detokenize", model, "--ids", ids})["text"], "Once upon a time");
  EXPECT_EQ(lrc({"detokenize", model, "--ids", "1,9999"}).exit_code, 1);
  EXPECT_EQ(lrc({"detokenize", model, "--ids", "1,x"}).exit_code, 1);
}

TEST(Cli, LogitsAgreeWithTheReferenceProgram) {
  const TemporaryFolder folder;
  const auto reference = read_file(data("stories260K/golden/story0_first16.logits.f32"));
  const auto story = read_json_file(data("stories260K/golden/tinystories_0-39.json"));
  const Json& first = story["docs"][0];
  const Json& tokens = first["ids"];
  std::string ids;
  for (std::size_t i = 0; i < 16; ++i) ids += (i ? "," : "") + std::to_string(tokens[i].get<int>());
  const std::string out = (folder.path() / "logits.safetensors").string();
  json_of({"logits", model, "--ids", ids, "--all", "--out", out});
  const MatrixF logits = SafetensorsFile::open(out).read_float("logits");
  ASSERT_EQ(logits.rows(), 16u);
  ASSERT_EQ(logits.columns(), 512u);
  ASSERT_EQ(reference.size(), logits.size() * 4);
  const auto* expected = reinterpret_cast<const float*>(reference.data());
  for (std::size_t i = 0; i < logits.size(); ++i) ASSERT_NEAR(logits.data()[i], expected[i], 1e-3) << i;
  json_of({"logits", model, "--ids", ids, "--out", out});
  EXPECT_EQ(SafetensorsFile::open(out).read_float("logits").rows(), 1u);
}

TEST(Cli, QuantizeEvaluateCompareSpectrumChatExport) {
  const TemporaryFolder folder;
  const std::string text = corpus(folder), run = (folder.path() / "run").string(), plain = (folder.path() / "gptq").string();
  auto arguments = quantize_arguments(text, run);
  const Json manifest = json_of(arguments);
  EXPECT_EQ(manifest["layers"].size(), 35u);
  for (const auto& layer : manifest["layers"]) {
    EXPECT_LE(layer["lower_bound"].get<double>(), layer["loss_regularized"].get<double>() * (1 + 1e-3)) << layer["name"];
    EXPECT_GT(layer["bits_per_weight"].get<double>(), 4);
    EXPECT_TRUE(layer.contains("held_out_loss"));
  }
  arguments = quantize_arguments(text, plain);
  arguments.insert(arguments.end(), {"--method", "gptq"});
  EXPECT_LT(json_of(arguments)["bits_per_weight"].get<double>(), manifest["bits_per_weight"].get<double>());

  const Json ppl =
      json_of({"perplexity", run, "--text", text, "--context", "128", "--windows", "3", "--reference", model, "--progress", "none"});
  EXPECT_EQ(ppl["windows"], 3);
  EXPECT_EQ(ppl["tokens"], 3 * 127);
  EXPECT_NEAR(ppl["perplexity"].get<double>(), std::exp(ppl["nll"].get<double>()), 1e-6);
  EXPECT_GT(ppl["kl"]["mean"].get<double>(), 0);
  for (const char* key : {"median", "p90", "p95", "p99", "p999", "max"}) EXPECT_TRUE(ppl["kl"].contains(key));
  EXPECT_GT(ppl["top1_agreement"].get<double>(), 0.3);
  const Json same =
      json_of({"perplexity", model, "--text", text, "--context", "128", "--windows", "1", "--reference", model, "--progress", "none"});
  EXPECT_NEAR(same["kl"]["mean"].get<double>(), 0, 1e-9);
  EXPECT_EQ(same["top1_agreement"], 1.0);

  const Json comparison = json_of({"compare", run, plain});
  ASSERT_EQ(comparison["runs"].size(), 2u);
  bool method_differs = false;
  for (const auto& d : comparison["differences"]) method_differs = method_differs || d["field"] == "method";
  EXPECT_TRUE(method_differs);

  const std::string svg = (folder.path() / "s.svg").string(), csv = (folder.path() / "s.csv").string();
  const Json spectrum = json_of({"spectrum", run, "--layer", "*.0.mlp.down_proj", "--svg", svg, "--csv", csv});
  ASSERT_EQ(spectrum["layers"].size(), 1u);
  const Json& curves = spectrum["layers"][0];
  EXPECT_EQ(curves["name"], "model.layers.0.mlp.down_proj");
  EXPECT_GE(curves["achieved"]["rank"].get<int>(), 1);
  EXPECT_EQ(curves["error_by_rank"].size(), curves["lower_bound_by_rank"].size());
  for (std::size_t r = 0; r < curves["error_by_rank"].size(); ++r)
    EXPECT_LE(curves["lower_bound_by_rank"][r].get<double>(), curves["error_by_rank"][r].get<double>() + 1e-9) << r;
  EXPECT_EQ(read_file(svg).rfind("<svg", 0), 0u);
  EXPECT_EQ(read_file(csv).rfind("layer,index,value", 0), 0u);
  EXPECT_EQ(json_of({"spectrum", model, "--layer", "*.q_proj", "--of", "weight"})["layers"].size(), 5u);
  EXPECT_EQ(json_of({"spectrum", run, "--layer", "*.0.mlp.down_proj", "--of", "weight"})["layers"][0]["values"],
            json_of({"spectrum", model, "--layer", "*.0.mlp.down_proj", "--of", "weight"})["layers"][0]["values"]);

  const Json chat = json_of({"chat", model, "--against", run, "--prompt", "Once upon a time", "--max-tokens", "8", "--follow"});
  EXPECT_EQ(chat["ids"].size(), 8u);
  EXPECT_EQ(chat["kl"].size(), 8u);
  EXPECT_GT(chat["tokens_per_second"].get<double>(), 0);
  EXPECT_EQ(json_of({"chat", model, "--against", model, "--prompt", "Once", "--max-tokens", "4"})["against"]["text"],
            json_of({"chat", model, "--prompt", "Once", "--max-tokens", "4"})["text"]);

  const Json check = json_of({"export", run, "--to", "gguf", "--check-only"});
  bool refused = false;
  for (const auto& c : check["checks"]) refused = refused || c["status"] == "refused";
  EXPECT_TRUE(refused) << "a run with the online rotation cannot go to llama.cpp";
  EXPECT_EQ(lrc({"export", run, "--to", "gguf", "--out", (folder.path() / "out").string()}).exit_code, 1);
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "out" / "base.gguf"));

  const Json bench = json_of({"bench", run, "--prompt-tokens", "16", "--generate-tokens", "4", "--repeat", "1"});
  EXPECT_EQ(bench["prompt"][0]["tokens"], 16);
  EXPECT_GT(bench["generate"][0]["tokens_per_second"].get<double>(), 0);
  EXPECT_GT(bench["weights_bytes"].get<double>(), 0);
}

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
    EXPECT_NE(svg.find(run["name"].get<std::string>()), std::string::npos) << run["name"];
  }
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

TEST(Cli, ExportForLlamaCppIsVerified) {
  const TemporaryFolder folder;
  const std::string text = corpus(folder), run = (folder.path() / "run").string(), out = (folder.path() / "out").string();
  json_of({"quantize",
           model,
           "--out",
           run,
           "--recipe",
           "LRC 10 %",
           "--rotate",
           "folded",
           "--activation-bits",
           "16",
           "--calibration",
           text,
           "--calibration-tokens",
           "1024",
           "--calibration-context",
           "128",
           "--progress",
           "none",
           "--set",
           "*.q_proj,*.k_proj,*.v_proj,*.o_proj,*.gate_proj,*.up_proj:group_size=32"});
  const Json done = json_of({"export", run, "--to", "gguf", "--out", out, "--progress", "none"});
  EXPECT_EQ(done["verified"], true);
  ASSERT_EQ(done["files"].size(), 2u);
  for (const auto& file : done["files"]) {
    EXPECT_EQ(std::filesystem::file_size(file["path"].get<std::string>()), file["bytes"].get<std::uint64_t>());
    EXPECT_EQ(file["sha256"].get<std::string>().size(), 64u);
  }
  EXPECT_NE(done["command"].get<std::string>().find("--lora"), std::string::npos);
  // The written base is a model that this program reads.
  EXPECT_EQ(json_of({"inspect", done["files"][0]["path"]})["blocks"], 5);
}

TEST(Cli, InterruptedRunContinuesToTheSameBytes) {
  const TemporaryFolder folder;
  const std::string text = corpus(folder);
  const auto whole = folder.path() / "whole", broken = folder.path() / "broken";
  json_of(quantize_arguments(text, whole.string()));
  bool interrupted = false;
  for (double after = 0.02; after < 2.0 && !interrupted; after *= 1.6) {
    std::filesystem::remove_all(broken);
    const auto result = run_program(LRC_PROGRAM, quantize_arguments(text, broken.string()), after);
    interrupted = result.exit_code == 130;
    if (!interrupted) {
      EXPECT_EQ(result.exit_code, 0) << result.err;
    }
  }
  if (interrupted) {
    json_of(quantize_arguments(text, broken.string()));
  }
  EXPECT_EQ(layer_bytes(whole), layer_bytes(broken));
  // Another recipe in the same folder is refused, and nothing is touched.
  auto other = quantize_arguments(text, whole.string());
  other.insert(other.end(), {"--rank", "3"});
  const auto before = layer_bytes(whole);
  const auto refused = lrc(other);
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_NE(refused.err.find("rank"), std::string::npos) << refused.err;
  EXPECT_EQ(layer_bytes(whole), before);
}

TEST(Cli, SolveReproducesTheGoldenCodes) {
  const TemporaryFolder folder;
  const auto golden = SafetensorsFile::open(data("solvers/case_tall.safetensors"));
  const auto facts = read_facts(data("solvers/case_tall.json"));
  const std::string out = (folder.path() / "out.safetensors").string();
  const Json j = json_of(
      {"solve", data("solvers/case_tall.safetensors").string(), "--method", "lrc", "--rank", "3", "--iterations", "1", "--out", out});
  const auto solved = SafetensorsFile::open(out);
  const auto codes = solved.raw<std::int8_t>("codes"), expected = golden.raw<std::int8_t>("lrc.k3.T1.codes");
  EXPECT_TRUE(std::equal(codes.begin(), codes.end(), expected.begin(), expected.end()));
  const MatrixD uv = solved.read_double("correction"), expected_uv = golden.read_double("lrc.k3.T1.uv");
  double largest = 0;
  for (const double v : expected_uv.flat()) largest = std::max(largest, std::abs(v));
  for (std::size_t i = 0; i < uv.size(); ++i) ASSERT_NEAR(uv.data()[i], expected_uv.data()[i], 1e-6 * largest);
  const auto& scalars = facts["scalars"]["lrc.k3.T1"];
  EXPECT_NEAR(j["loss"].get<double>() / scalars["loss"].get<double>(), 1, 1e-8);
  EXPECT_NEAR(j["loss_regularized"].get<double>() / scalars["damped_loss"].get<double>(), 1, 1e-8);
  EXPECT_NEAR(j["lower_bound"].get<double>() / scalars["lower_bound"].get<double>(), 1, 1e-8);
  EXPECT_EQ(lrc({"solve", data("solvers/case_tall.safetensors").string(), "--rank", "33", "--out", out}).exit_code, 1)
      << "above min(out, in)";
  const auto unknown = lrc({"solve", data("solvers/case_tall.safetensors").string(), "--method", "magic", "--out", out});
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_NE(unknown.err.find("lrc"), std::string::npos) << "names the methods that exist";
}

TEST(Cli, DevicesListsTheCpuFirst) {
  const Json j = json_of({"devices"});
  ASSERT_GE(j["devices"].size(), 1u);
  EXPECT_EQ(j["devices"][0]["id"], "cpu");
  EXPECT_EQ(j["devices"][0]["usable"], true);
}

TEST(Cli, DevicesAreTestedAgainstTheirDefinition) {
  const Json j = json_of({"devices", "--self-test"});
  const Json& test = j["devices"][0]["self_test"];
  EXPECT_EQ(test["passed"], true) << test.dump();
  EXPECT_GE(test["kernels"].size(), 20u);
  EXPECT_GT(test["gigabytes_per_second"].get<double>(), 0);
}

TEST(Cli, SmoothingImportedRotationsAndASecondTextAreFlags) {
  const TemporaryFolder folder;
  const auto text = corpus(folder), task = (folder.path() / "a:b.txt").string(), run = (folder.path() / "run").string();
  std::filesystem::copy_file(text, task);
  const auto rotations = (folder.path() / "r.safetensors").string();
  auto matrices = hadamard_rotations(Model::open(model)->config(), 3);
  matrices.r2.clear();
  write_rotations(rotations, matrices);
  auto arguments = quantize_arguments(text, run);
  const std::vector<std::string> flags = {
      "--method", "rtn",      "--layers", "*.layers.0.*",      "--smoothing", "smoothquant", "--smoothing-strength",
      "0.7",      "--rotate", rotations,  "--calibration-mix", task + ":0.25"};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  json_of(arguments);
  const Json manifest = read_json_file(std::filesystem::path(run) / "manifest.json");
  EXPECT_EQ(manifest["recipe"]["smoothing"], "smoothquant");
  EXPECT_EQ(manifest["recipe"]["smoothing_strength"], 0.7);
  EXPECT_EQ(manifest["recipe"]["calibration_mix"]["text"], task);
  EXPECT_EQ(manifest["recipe"]["calibration_mix"]["share"], 0.25);
  EXPECT_EQ(manifest["recipe"]["rotate"]["file"], rotations);
  EXPECT_EQ(manifest["recipe"]["rotate"]["r2"], false) << "what the file does not hold";
  EXPECT_EQ(manifest["transforms"].size(), 1u);
  const auto result = lrc({"quantize", model, "--out", run, "--rotate", (folder.path() / "none.safetensors").string()});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find("none.safetensors"), std::string::npos) << result.err;
}

TEST(Cli, ACacheOfOtherBitsIsRefusedByName) {
  const TemporaryFolder folder;
  const std::string out = (folder.path() / "run").string();
  for (const auto& flags : std::vector<std::vector<std::string>>{{"--kv-bits", "9"}, {"--kv-bits", "4", "--kv-group-size", "3"}}) {
    std::vector<std::string> arguments = {"quantize", model, "--out", out};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const auto result = lrc(arguments);
    EXPECT_EQ(result.exit_code, 1) << flags[0];
    EXPECT_NE(result.err.find(flags.size() == 2 ? "kv_bits" : "Groups of 3"), std::string::npos) << result.err;
    EXPECT_FALSE(std::filesystem::exists(out));
  }
}

}  // namespace
}  // namespace lrc::test
