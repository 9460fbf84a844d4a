// One run from the command line: quantize, stop, continue, evaluate, export, solve.
#include <cmath>

#include "command_line.h"
#include "formats/safetensors.h"
#include "model/model.h"
#include "support/rotation_file.h"
#include "support/solver_case.h"

namespace lrc::test {
namespace {

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
  const std::string free = json_of({"chat", model, "--prompt", "Once upon a time", "--max-tokens", "20"})["text"];
  const std::string stop = free.substr(free.size() / 2, 5);
  const Json cut = json_of({"chat", model, "--prompt", "Once upon a time", "--max-tokens", "20", "--stop", "§", "--stop", stop});
  EXPECT_EQ(cut["text"], free.substr(0, free.find(stop)));
  EXPECT_EQ(cut["reason"], "stop_string");
  EXPECT_NE(json_of({"chat", model, "--prompt", "Once upon a time", "--max-tokens", "40", "--repeat-penalty", "1.5"})["text"],
            json_of({"chat", model, "--prompt", "Once upon a time", "--max-tokens", "40"})["text"]);
  EXPECT_EQ(json_of({"chat", model, "--prompt", "Once", "--max-tokens", "6", "--temperature", "1", "--min-p", "1"})["text"],
            json_of({"chat", model, "--prompt", "Once", "--max-tokens", "6"})["text"])
      << "only the likeliest is left";
  EXPECT_EQ(json_of({"chat", model, "--prompt", "Once upon a time", "--max-tokens", "40", "--context", "16"})["reason"], "context_full");
  EXPECT_EQ(lrc({"chat", model, "--prompt", "Once", "--min-p", "1.5"}).exit_code, 1);
  EXPECT_EQ(lrc({"chat", model, "--prompt", "Once", "--stop", ""}).exit_code, 1);

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

}  // namespace
}  // namespace lrc::test
