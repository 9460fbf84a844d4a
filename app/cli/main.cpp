// lrc: flags, and the border where errors become a sentence and an exit code.
#include <CLI/CLI.hpp>
#include <functional>
#include <iostream>
#include <map>
#include <new>

#include "base/error.h"
#include "base/parallel.h"
#include "cli/commands.h"
#include "correction/solve.h"

namespace lrc::cli {
namespace {

void add_recipe_options(CLI::App& command, RecipeOptions& r) {
  const std::string group = "Recipe";
  const auto add = [&](const char* flag, auto& target, const char* text) { return command.add_option(flag, target, text)->group(group); };
  add("--recipe", r.recipe, "A shipped recipe's name or a JSON file; options below override its fields");
  std::string names;
  for (const SolveMethod& method : methods()) names += (names.empty() ? "" : ", ") + std::string(method.name);
  add("--method", r.method, names.c_str());
  add("--weight-bits", r.weight_bits, "2…8");
  add("--activation-bits", r.activation_bits, "2…8; 16 = off");
  add("--kv-bits", r.kv_bits, "Keys and values in the cache: 2…8; 16 = float");
  add("--kv-group-size", r.kv_group_size, "Keys or values that share a scale; 0 = a head");
  add("--kv-clip", r.kv_clip, "Clip ratio of their quantizer");
  command.add_flag("--kv-symmetric", r.kv_symmetric, "Keys and values without zero points")->group(group);
  add("--group-size", r.group_size, "Weights that share a scale; 0 = a row");
  command.add_flag("--weight-asymmetric", r.weight_asymmetric, "Weight grids with a zero point")->group(group);
  add("--weight-clip", r.weight_clip, "search (norm 2.4 over 80 scales), awq (by the outputs, q and k left out) or none");
  add("--weight-format", r.weight_format, "int, mxint, mxfp4, mxfp4-rounded or nvfp4");
  add("--activation-format", r.activation_format, "The same for activations");
  add("--activation-group-size", r.activation_group_size, "Activations that share a scale; 0 = a token");
  command.add_flag("--activation-asymmetric", r.activation_asymmetric, "Activations with a zero point")->group(group);
  add("--clip", r.clip, "Clip ratio of the activation quantizer, or search (by the layers' loss, site by site)");
  add("--rotate", r.rotate,
      "quarot (R1, R2 folded, R4 and with quantized keys R3 online), folded (R1 and R2), none, a list: r1,r2,r3,r4, or FILE.safetensors "
      "with R1 and R2 (,r3,r4 behind it for the online ones)");
  add("--high-precision", r.high_precision,
      "Share of the principal directions of R1 and R2 that weights and activations hold in --high-bits (ResQ: 0.125); 0 = none");
  add("--high-bits", r.high_bits, "2…8, of those directions");
  add("--smoothing", r.smoothing, "Channel scales folded in before the solve: smoothquant, awq, closed-form or none");
  add("--smoothing-strength", r.smoothing_strength, "α of smoothquant, 0…1");
  add("--rank", r.rank, "57, or 10% (rounded down, at least 1)");
  add("--rank-rule", r.rank_rule, "min: of min(in, out); parameters: of in·out/(in+out)");
  add("--iterations", r.iterations, "T of LRC(T)");
  command.add_flag("--retarget-only", r.retarget_only, "LRC with rank 0")->group(group);
  add("--deflate", r.deflate, "on or off")->check(CLI::IsMember({"on", "off"}));
  add("--polish", r.polish, "on: the grid stays after the first round and codes descend coordinate by coordinate; rounds never get worse")
      ->check(CLI::IsMember({"on", "off"}));
  add("--act-order", r.act_order, "on: GPTQ by descending diagonal, static groups")->check(CLI::IsMember({"on", "off"}));
  add("--factors", r.factors, "fp16, int8, or mxint8 (mxint2…8, /32 for blocks of 32, -across for the other axis)");
  add("--pair-input", r.pair_input, "What the correction multiplies: unquantized, quantized or method (as the method defines it)");
  add("--calibration", r.calibration, "A UTF-8 text or a JSON list of strings");
  add("--calibration-mix", r.calibration_mix, "FILE[:SHARE]: a second text and its part of the windows (a half), or none");
  add("--calibration-tokens", r.calibration_tokens, "Rounded up to whole windows");
  add("--calibration-context", r.calibration_context, "Tokens of a window");
  add("--skip-first-positions", r.skip_first_positions,
      "Leave the first N positions of every window out of what is measured (massive activations)");
  add("--range-finder", r.range_finder,
      "How a pair's directions are found: exact, or randomized (faster at small ranks; what it misses is in the manifest)");
  add("--damping", r.damping, "Of the second moments, relative to their mean diagonal");
  add("--damping-toward", r.damping_toward,
      "What the damping falls back to where calibration shows nothing: zero, or original (tokens with Y = X)");
  add("--gptq-damping", r.gptq_damping, "Of GPTQ's Hessian");
  add("--stream", r.stream, "fp, propagated (behind the quantized prefix) or replay (float between blocks, quantized inside)");
  add("--drift", r.drift, "α: how much of the prefix's drift is made up for, 0…1");
  add("--refine", r.refine, "AdamW steps on each solved block's output error: U, V and scales are tuned (lsi: its increments); 0 = none");
  add("--steps", r.steps, "AdamW steps of a method that learns layer by layer (lsi)");
  add("--square", r.square, "lsi: side of the trainable square matrix; 0 = none");
  add("--learn-scales", r.learn_scales,
      "on: lsi with --refine also learns the channel scales of --smoothing smoothquant (LET), without --rotate r1 and r2")
      ->check(CLI::IsMember({"on", "off"}));
  add("--base", r.base, "rtn or gptq: what svd, qera and lqer correct");
  add("--layers", r.layers, "Only these layers (shell globs, commas)");
  add("--set", r.set, "PATTERN:field=value,… (repeatable, later wins)");
}

int run(int argc, char** argv) {
  CLI::App app{"Post-training quantization of language models with low-rank correction"};
  app.require_subcommand(1);
  app.fallthrough();
  app.set_version_flag("--version", std::string("lrc ") + LRC_VERSION);
  Context context;
  context.stop = stop_on_signals();
  int threads = 0;
  const std::map<std::string, ProgressMode> modes = {{"auto", ProgressMode::automatic},
                                                     {"bar", ProgressMode::bar},
                                                     {"lines", ProgressMode::lines},
                                                     {"json", ProgressMode::json},
                                                     {"none", ProgressMode::none}};
  app.add_flag("--json", context.json, "One JSON object on stdout, nothing else");
  app.add_option("--progress", context.progress_mode, "auto, bar, lines, json or none (on stderr)")
      ->transform(CLI::CheckedTransformer(modes));
  app.add_option("--threads", threads, "Default: all processors");
  app.add_option("--device", context.device, "cpu, vulkan or vulkan:INDEX");
  app.add_option("--seed", context.seed, "Of the rotation and of sampling");
  std::function<void()> action;

  InspectOptions inspect_options;
  auto* c = app.add_subcommand("inspect", "What a model is made of; reads headers only");
  c->add_option("MODEL", inspect_options.model)->required();
  c->add_flag("--summary", inspect_options.summary, "Without the list of layers");
  c->callback([&] { action = [&] { inspect(context, inspect_options); }; });

  TextOptions text;
  c = app.add_subcommand("tokenize", "Text to ids");
  c->add_option("MODEL", text.model)->required();
  auto* from = c->add_option_group("source");
  from->add_option("--text", text.text);
  from->add_option("--file", text.file);
  from->require_option(1);
  c->add_flag("--special", text.special, "Text such as <|im_start|> becomes its special token");
  c->callback([&] { action = [&] { tokenize(context, text); }; });
  c = app.add_subcommand("detokenize", "Ids to text");
  c->add_option("MODEL", text.model)->required();
  c->add_option("--ids", text.ids, "1,2,3")->required();
  c->callback([&] { action = [&] { detokenize(context, text); }; });
  c = app.add_subcommand("template", "A conversation as the model's chat template writes it");
  c->add_option("MODEL", text.model)->required();
  c->add_option("--messages", text.messages, "JSON: [{\"role\", \"content\"}]")->required();
  c->add_flag("--generation-prompt", text.generation_prompt);
  c->callback([&] { action = [&] { render_template_command(context, text); }; });

  LogitsOptions logits_options;
  c = app.add_subcommand("logits", "Logits of a token sequence");
  c->add_option("MODEL", logits_options.model)->required();
  c->add_option("--ids", logits_options.ids, "1,2,3")->required();
  c->add_flag("--all", logits_options.all, "Of every position");
  c->add_option("--out", logits_options.out, "A safetensors file")->required();
  c->callback([&] { action = [&] { logits(context, logits_options); }; });

  PerplexityOptions ppl;
  c = app.add_subcommand("perplexity", "Perplexity, and against a reference KL divergence and top-1 agreement");
  c->add_option("MODEL", ppl.model)->required();
  c->add_option("--text", ppl.text)->required();
  c->add_option("--context", ppl.window_context);
  c->add_option("--windows", ppl.windows, "Default: all");
  c->add_option("--reference", ppl.reference);
  c->callback([&] { action = [&] { perplexity(context, ppl); }; });

  TaskOptions ta;
  c = app.add_subcommand("evaluate", "Zero-shot tasks with acc, acc_norm and their intervals; called again it continues");
  c->add_option("MODEL", ta.model)->required();
  c->add_option("--tasks", ta.tasks, "piqa, arc_easy, arc_challenge, hellaswag, winogrande, lambada, copa; default: all that have a file");
  c->add_option("--data", ta.data, "Task files (JSON lines) or folders with them")->required()->delimiter(',');
  c->add_option("--limit", ta.limit, "The first items of each task; default: all");
  c->add_option("--reference", ta.reference, "A second model on the same items: agreement and paired difference");
  c->add_option("--bos", ta.bos, "auto (as the tokenizer does by itself), on or off")->check(CLI::IsMember({"auto", "on", "off"}));
  c->add_option("--out", ta.out, "The report as a JSON file");
  c->add_option("--state", ta.state, "What to continue from; default: tasks.json of a run, otherwise --out with .state behind it");
  c->callback([&] { action = [&] { evaluate_command(context, ta); }; });

  QuantizeOptions q;
  c = app.add_subcommand("quantize", "Carries out a recipe; called again with the same --out it continues");
  c->add_option("MODEL", q.model)->required();
  c->add_option("--out", q.out, "The run folder")->required();
  constexpr const char* memory_limit = "Bytes, or such as 6GiB: the work is cut to fit, with the same result; default: what is free";
  c->add_option("--memory-limit", q.memory_limit, memory_limit);
  add_recipe_options(*c, q.recipe);
  c->callback([&] { action = [&] { quantize(context, q); }; });
  SweepOptions sw;
  c = app.add_subcommand("sweep", "Several recipes in one go, evaluated and set beside each other; called again it continues");
  c->add_option("MODEL", sw.model)->required();
  c->add_option("--out", sw.out, "The folder for the run folders")->required();
  c->add_option("--recipes", sw.recipes, "Shipped recipes' names or JSON files")->required();
  c->add_option("--text", sw.text, "To evaluate on; default: the shipped WikiText-2 test text");
  c->add_option("--context", sw.window_context);
  c->add_option("--windows", sw.windows, "Default: 6; 0 = all");
  c->add_option("--bits-per-weight", sw.bits_per_weight, "Bring every recipe to this size: by its rank, or by the bits of some layers");
  c->add_option("--svg", sw.svg, "A picture of size against KL");
  c->add_option("--memory-limit", sw.memory_limit, memory_limit);
  add_recipe_options(*c, sw.overrides);
  c->remove_option(c->get_option("--recipe"));
  c->callback([&] { action = [&] { sweep(context, sw); }; });
  c = app.add_subcommand("measure", "The measuring pass alone: spectra and curves of every layer");
  c->add_option("MODEL", q.model)->required();
  c->add_option("--out", q.out, "The folder for the statistics")->required();
  add_recipe_options(*c, q.recipe);
  c->callback([&] { action = [&] { measure_command(context, q); }; });
  c = app.add_subcommand("forecast", "Size, memory and time of a recipe, without running it");
  c->add_option("MODEL", q.model)->required();
  c->add_option("--memory-limit", q.memory_limit, memory_limit);
  add_recipe_options(*c, q.recipe);
  c->callback([&] { action = [&] { forecast_command(context, q); }; });

  SensitivityOptions se;
  c = app.add_subcommand("sensitivity", "What quantizing each layer costs: weights, activations, both; --exact: the KL it adds alone");
  c->add_option("MODEL", se.model)->required();
  c->add_flag("--exact", se.exact, "Also the KL of the model with this layer alone quantized");
  c->add_option("--exact-tokens", se.exact_tokens, "Read for it, behind the calibration text");
  c->add_option("--out", se.out, "The result as a JSON file");
  add_recipe_options(*c, se.recipe);
  c->callback([&] { action = [&] { sensitivity_command(context, se); }; });

  AllocateOptions al;
  c = app.add_subcommand("allocate", "Bits and rank of every layer for a given size; --set and the like are kept as constraints");
  c->add_option("MODEL", al.model)->required();
  c->add_option("--bits-per-weight", al.bits_per_weight, "Of the quantized layers, scales and factors included");
  c->add_option("--out", al.out, "The recipe, for lrc quantize --recipe");
  c->add_option("--report", al.report, "Prediction and reasons as a JSON file");
  c->add_option("--achieved", al.achieved, "A run of that recipe: its losses beside those of --report");
  c->add_option("--bits", al.bits, "Weight bits to choose from");
  c->add_option("--factor-choices", al.factors, "Factor precisions to choose from; default: fp16,int8, or the recipe's own other one");
  c->add_option("--most-rank", al.most_rank, "Largest rank, per cent of min(in, out)");
  c->add_option("--rank-step", al.rank_step, "Ranks are multiples of this");
  c->add_option("--exact-tokens", al.exact_tokens, "Read to weigh each layer by the KL that it adds alone");
  c->add_flag("--relative", al.relative, "Every layer's relative error counts the same: no KL is measured");
  add_recipe_options(*c, al.recipe);
  c->callback([&] { action = [&] { allocate_command(context, al); }; });

  SpectrumOptions sp;
  c = app.add_subcommand("spectrum", "Spectra, and the error by rank");
  c->add_option("MODEL", sp.model, "A model, a run or the folder of lrc measure")->required();
  c->add_option("--layer", sp.layer, "Shell globs, commas");
  c->add_option("--of", sp.of)->check(CLI::IsMember({"weight", "error", "whitened-error"}));
  c->add_option("--svg", sp.svg);
  c->add_option("--csv", sp.csv);
  c->callback([&] { action = [&] { spectrum(context, sp); }; });

  CompareOptions cmp;
  c = app.add_subcommand("compare", "Runs side by side, and what their recipes differ in");
  c->add_option("RUN", cmp.runs)->required();
  c->add_option("--text", cmp.text, "Evaluate every run on this text");
  c->add_option("--reference", cmp.reference);
  c->add_option("--context", cmp.window_context);
  c->add_option("--windows", cmp.windows);
  c->add_option("--svg", cmp.svg, "A picture of size against KL");
  c->callback([&] { action = [&] { compare(context, cmp); }; });

  ChatOptions ch;
  c = app.add_subcommand("chat", "Talk to a model, or to two side by side");
  c->add_option("MODEL", ch.model)->required();
  c->add_option("--against", ch.against, "A second model or run that answers the same prompt");
  c->add_option("--prompt", ch.prompt, "One turn; without it lines are read from stdin");
  c->add_option("--system", ch.system);
  c->add_option("--max-tokens", ch.max_tokens);
  c->add_option("--temperature", ch.temperature);
  c->add_option("--top-k", ch.top_k);
  c->add_option("--top-p", ch.top_p);
  c->add_option("--min-p", ch.min_p, "Drops tokens less likely than this share of the likeliest one's probability; 0 is off");
  c->add_option("--repeat-penalty", ch.repeat_penalty, "Above 1 makes tokens of the last 64 less likely; 1 is off");
  c->add_option("--stop", ch.stop, "Ends an answer before this text; may be given several times")->allow_extra_args(false);
  c->add_option("--context", ch.context, "Tokens of the conversation at most; the model's own limit where it is left out");
  c->add_flag("--follow", ch.follow, "The second is fed the first one's tokens; KL for each");
  c->callback([&] { action = [&] { chat(context, ch); }; });

  ExportOptionsCli ex;
  c = app.add_subcommand("export", "Files that another program loads, with a preflight and a proof");
  c->add_option("RUN", ex.run)->required();
  c->add_option("--to", ex.to, "gguf");
  auto* out = c->add_option("--out", ex.out, "The folder to write into");
  c->add_flag("--check-only", ex.check_only, "The preflight alone");
  c->add_option("--base-type", ex.base_type, "q4_0 or q4_1")->check(CLI::IsMember({"q4_0", "q4_1"}));
  c->add_option("--pad-rank", ex.pad_rank_to, "Ranks are padded with zeros to a multiple of this");
  c->callback([&, out] {
    if (!ex.check_only && out->count() == 0) throw CLI::RequiredError("--out");
    action = [&] { export_command(context, ex); };
  });

  BenchOptions be;
  c = app.add_subcommand("bench", "Tokens per second");
  c->add_option("MODEL", be.model)->required();
  c->add_option("--prompt-tokens", be.prompt_tokens);
  c->add_option("--generate-tokens", be.generate_tokens);
  c->add_option("--repeat", be.repeat);
  c->callback([&] { action = [&] { bench(context, be); }; });

  c = app.add_subcommand("devices", "What can compute here");
  DevicesOptions de;
  c->add_flag("--self-test", de.self_test, "Every kernel against the scalar definition, and how fast the device is");
  c->callback([&] { action = [&] { devices(context, de); }; });

  SolveOptions so;
  c = app.add_subcommand("solve", "One layer brought as matrices W (out, in) and X (tokens, in)");
  c->add_option("PROBLEM", so.problem, "A safetensors file")->required();
  c->add_option("--out", so.out, "A safetensors file")->required();
  c->add_option("--batches", so.batches, "X is this many batches in a row (l2qer takes the largest of their means)");
  add_recipe_options(*c, so.recipe);
  c->callback([&] { action = [&] { solve(context, so); }; });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  set_thread_count(threads);
  try {
    action();
    return 0;
  } catch (const Error& e) {
    std::cout.flush();
    std::cerr << "lrc: " << e.what() << '\n';
    return e.kind() == ErrorKind::stopped ? 130 : 1;
  } catch (const std::bad_alloc&) {
    std::cerr << "lrc: There is not enough memory for this; lrc forecast tells what a recipe needs.\n";
    return 1;
  } catch (const std::exception& e) {
    std::cerr << "lrc: " << e.what() << '\n';
    return 1;
  }
}

}  // namespace
}  // namespace lrc::cli

int main(int argc, char** argv) { return lrc::cli::run(argc, argv); }
