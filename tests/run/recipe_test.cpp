#include "run/recipe.h"

#include <gtest/gtest.h>

#include "small_run.h"

namespace lrc {
namespace {

using test::contains;
using test::sentence_of;
using test::small_model;

Recipe from_text(const std::string& text) { return recipe_from_json(parse_json(text, "mine.json"), "mine.json"); }

Recipe unusual_recipe() {
  Recipe r;
  r.name = "Mine \"quoted\" ä";
  r.method = "gptq";
  r.cache = {3, 16, 0.75f, true};
  r.weight = {3, 32, false, WeightClip::none, NumberFormat::mxfp4};
  r.activation = {8, 64, 0.875f, false, NumberFormat::mxint};
  r.act_order = r.polish = true;
  r.base = "gptq";
  r.factors = {FactorFormat::int8, 8};
  r.pair_input = PairInput::unquantized;
  r.stream = Stream::replay;
  r.drift = 0.75;
  r.range_finder = RangeFinder::randomized;
  r.refine = 40;
  r.steps = 77;
  r.square = 100;
  r.learn_scales = true;
  r.rank = {true, 7.5};
  r.rank_rule = RankRule::parameters;
  r.iterations = 5;
  r.deflate = true;
  r.damping = 0.0123456789;
  r.damping_toward = DampingToward::original;
  r.gptq_damping = 1e-3;
  r.rotation = {true, false, true, 18446744073709551615ull, true};
  r.rotation.high_share = 0.375;
  r.high_bits = 6;
  r.calibration = "some text.txt";
  r.calibration_tokens = 12345;
  r.calibration_context = 77;
  r.skip_first_positions = 3;
  r.held_out_windows = 0;
  r.layers = "*.q_proj,*.k_proj";
  Override rule;
  rule.pattern = "model.layers.[0-3].*";
  rule.method = "lrc";
  rule.weight_bits = 2;
  rule.activation_bits = 16;
  rule.iterations = 2;
  rule.group_size = 16;
  rule.clip = 0.95f;
  rule.rank = RankChoice{true, 15};
  rule.deflate = false;
  rule.damping = 0.02;
  rule.damping_toward = DampingToward::zero;
  rule.gptq_damping = 0.03;
  rule.weight_format = NumberFormat::mxint;
  rule.activation_format = NumberFormat::nvfp4;
  rule.weight_asymmetric = true;
  rule.activation_asymmetric = false;
  rule.act_order = true;
  rule.polish = false;
  rule.weight_clip = WeightClip::none;
  rule.activation_group_size = 32;
  rule.base = "gptq";
  rule.factors = FactorScheme{FactorFormat::mxint, 6, 32, false};
  rule.pair_input = PairInput::quantized;
  rule.drift = 0.25;
  rule.skip = false;
  Override second;
  second.pattern = "*.o_proj";
  second.rank = RankChoice{false, 5};
  r.overrides = {rule, second};
  return r;
}

TEST(Recipe, RoundTripIsByteIdentical) {
  for (const auto& recipe : {Recipe{}, unusual_recipe()}) {
    const std::string text = to_text(recipe);
    const Recipe back = from_text(text);
    EXPECT_EQ(back, recipe);
    EXPECT_EQ(to_text(back), text);
  }
}

TEST(Recipe, NumbersAreWrittenAsPeopleWriteThem) {
  const std::string text = to_text(Recipe{});
  EXPECT_TRUE(contains(text, "\"clip\": 0.9,")) << text;
  EXPECT_TRUE(contains(text, "\"rank\": \"10%\"")) << text;
  Recipe absolute;
  absolute.rank = {false, 57};
  EXPECT_TRUE(contains(to_text(absolute), "\"rank\": 57,"));
}

TEST(Recipe, MissingFieldsAreTheDefaults) {
  const Recipe recipe = from_text(R"({"rank": "5 %", "rotate": "none"})");
  Recipe expected;
  expected.rank = {true, 5};
  expected.rotation = {false, false, false, 0};
  EXPECT_EQ(recipe, expected);
}

TEST(Recipe, UnknownFieldsAreRefusedByName) {
  EXPECT_TRUE(contains(sentence_of(ErrorKind::bad_input, [] { from_text(R"({"rnak": 5})"); }), "mine.json: a recipe has no field rnak"));
  EXPECT_TRUE(contains(sentence_of(ErrorKind::bad_input, [] { from_text(R"({"rotate": {"r5": true}})"); }), "rotate.r5"));
  EXPECT_TRUE(contains(sentence_of(ErrorKind::bad_input, [] { from_text(R"({"set": [{"pattern": "*", "seed": 1}]})"); }), "no field seed"));
  sentence_of(ErrorKind::bad_input, [] { from_text("[]"); });
}

TEST(Recipe, BadValuesNameTheField) {
  for (const auto& [field, value] : std::vector<std::pair<std::string, std::string>>{
           {"weight_bits", "1"},
           {"weight_bits", "9"},
           {"weight_bits", "4.5"},
           {"weight_bits", "\"4\""},
           {"activation_bits", "0"},
           {"activation_bits", "1e300"},
           {"group_size", "-1"},
           {"clip", "0"},
           {"clip", "1.5"},
           {"clip", "null"},
           {"rank", "-3"},
           {"rank", "2.5"},
           {"rank", "\"120%\""},
           {"rank", "\"many\""},
           {"rank", "true"},
           {"rank_rule", "\"max\""},
           {"iterations", "0"},
           {"iterations", "101"},
           {"deflate", "1"},
           {"damping", "-0.1"},
           {"damping", "\"x\""},
           {"damping_toward", "\"identity\""},
           {"method", "\"awq\""},
           {"method", "7"},
           {"rotate", "\"spin\""},
           {"rotate", "{\"r1\": 1}"},
           {"calibration_tokens", "0"},
           {"calibration_context", "1"},
           {"held_out_windows", "-1"},
           {"skip_first_positions", "-1"},
           {"skip_first_positions", "1.5"},
           {"layers", "\"\""},
           {"layers", "[]"},
           {"set", "{}"},
           {"set", "[7]"},
           {"weight_clip", "\"mse\""},
           {"weight_format", "\"fp8\""},
           {"activation_format", "4"},
           {"weight_asymmetric", "\"yes\""},
           {"clip", "\"best\""},
           {"factors", "\"int4\""},
           {"pair_input", "\"both\""},
           {"base", "\"awq\""},
           {"stream", "\"float\""},
           {"range_finder", "\"random\""},
           {"refine", "-1"},
           {"refine", "2.5"},
           {"steps", "0"},
           {"square", "\"a\""},
           {"drift", "1.5"},
           {"act_order", "1"},
           {"name", "3"},
       }) {
    const auto sentence = sentence_of(ErrorKind::bad_input, [&] { from_text("{\"" + field + "\": " + value + "}"); });
    EXPECT_TRUE(contains(sentence, "mine.json")) << sentence;
    EXPECT_TRUE(contains(sentence, field)) << sentence;
  }
}

TEST(Recipe, AQuantizedCache) {
  const Recipe recipe =
      from_text(R"({"kv_bits": 4, "kv_group_size": 32, "kv_clip": 0.95, "kv_asymmetric": false, "rotate": {"r2": true, "r3": true}})");
  EXPECT_EQ(recipe.cache, (ActivationScheme{4, 32, 0.95f, true}));
  EXPECT_TRUE(recipe.rotation.r3);
  EXPECT_EQ(from_text(to_text(recipe)), recipe);
  for (const char* bad : {"1", "9", "12", "\"4\""})
    EXPECT_TRUE(contains(sentence_of(ErrorKind::bad_input, [&] { from_text(std::string("{\"kv_bits\": ") + bad + "}"); }), "kv_bits"));
  // What stands at its default is not written: recipes from before, and what is made from them, stay the same bytes.
  EXPECT_FALSE(contains(to_text(Recipe{}), "kv_"));
  EXPECT_FALSE(contains(to_text(Recipe{}), "r3"));
  EXPECT_EQ(from_text(R"({"kv_bits": 16})"), Recipe{});
}

TEST(Recipe, QuaRotHasR3WhereKeysAreQuantized) {
  EXPECT_TRUE(from_text(R"({"rotate": "quarot", "kv_bits": 4})").rotation.r3);
  EXPECT_TRUE(from_text(R"({"kv_bits": 4, "rotate": "quarot"})").rotation.r3);
  EXPECT_FALSE(from_text(R"({"rotate": "quarot"})").rotation.r3);
  EXPECT_FALSE(from_text(R"({"rotate": "r1,r2,r4", "kv_bits": 4})").rotation.r3);
  EXPECT_TRUE(from_text(R"({"rotate": "r2,r3"})").rotation.r3);
}

TEST(Recipe, ACacheThatCannotBeIsAProblem) {
  const auto model = small_model();
  Recipe recipe;
  recipe.cache.bits = 4;
  EXPECT_FALSE(problem_of(recipe, *model));
  recipe.cache.group_size = 3;
  EXPECT_TRUE(contains(problem_of(recipe, *model).value_or(""), "Groups of 3"));
  // Nothing but the cache may be quantized.
  recipe.cache.group_size = 0;
  recipe.weight.bits = 16;
  EXPECT_FALSE(problem_of(recipe, *model));
  recipe.cache.bits = 16;
  EXPECT_TRUE(problem_of(recipe, *model));
  // stories260K: 5 blocks, 4 key-value heads of 8.
  EXPECT_EQ(forecast(Recipe{}, *model).cache_bytes_per_token, 5u * 2 * 32 * 4);
  recipe.cache.bits = 4;
  EXPECT_EQ(forecast(recipe, *model).cache_bytes_per_token, 5u * 2 * (16 + 4 * 5));
}

TEST(Recipe, NumberFormatsAndWhatMethodsAskFor) {
  LayerInfo layer;
  layer.name = "layer";
  layer.out_features = 96;
  layer.in_features = 64;
  const auto of = [&](const std::string& text) { return effective_scheme(from_text(text), layer); };
  EXPECT_EQ(of(R"({"weight_format": "mxint", "activation_format": "mxfp4"})").weight.group_size, 16u);
  EXPECT_EQ(of(R"({"weight_format": "mxint", "activation_format": "mxfp4"})").activation.group_size, 32u);
  EXPECT_EQ(of(R"({"method": "lqer"})").pair_input, PairInput::quantized);
  EXPECT_EQ(of(R"({"method": "lqer", "pair_input": "unquantized"})").pair_input, PairInput::unquantized);
  EXPECT_EQ(of(R"({"method": "qera"})").pair_input, PairInput::unquantized);
  EXPECT_EQ(to_string(of(R"({"factors": "mxint8/32", "set": ["*:drift=0.5"]})").factors), "mxint8/32");
  EXPECT_EQ(of(R"({"set": ["*:weight_asymmetric=true,factors=int8,polish=on,act_order=on,base=gptq,drift=0.5"]})").drift, 0.5);
  EXPECT_TRUE(contains(sentence_of(ErrorKind::unsupported, [&] { of(R"({"weight_asymmetric": true, "weight_bits": 8})"); }), "layer"));
  EXPECT_TRUE(contains(sentence_of(ErrorKind::bad_input, [&] { of(R"({"weight_format": "nvfp4", "weight_bits": 3})"); }), "nvfp4"));
}

TEST(Recipe, ShippedRecipesAreCanonicalAndNamed) {
  std::vector<std::string> names;
  for (const auto& recipe : shipped_recipes()) names.push_back(recipe.name);
  EXPECT_EQ(names, (std::vector<std::string>{"RTN W4A4",
                                             "GPTQ W4A4",
                                             "LRC rank 0 (retarget only)",
                                             "LRC 5 %",
                                             "LRC 10 %",
                                             "LRC 10 % deflated",
                                             "LRC 30 %",
                                             "LRC 10 % int8 factors",
                                             "GPTQ + SVD 10 %",
                                             "GPTQ + QERA 10 %",
                                             "LQER 10 %",
                                             "LRC 10 % refined",
                                             "LRC 10 % for llama.cpp",
                                             "LRC 10 % damped toward W",
                                             "LRC 10 % int8, activation groups 64",
                                             "LRC 10 %, activation groups 64",
                                             "LRC 30 %, activation groups 64",
                                             "L²QER W4A8",
                                             "L²QER W4A6",
                                             "L²QER W3A8",
                                             "L²QER W2A8",
                                             "AWQ W4A16 g64",
                                             "SmoothQuant W8A8",
                                             "EoRA W4A16 rank 32",
                                             "LSI W3",
                                             "ResQ W4A4"}));
  for (const auto& entry : std::filesystem::directory_iterator(resources_folder() / "recipes")) {
    const auto text = read_file(entry.path());
    EXPECT_EQ(to_text(from_text(text)), text) << entry.path();
  }
  EXPECT_EQ(load_recipe("LRC 10 %"), Recipe{});
  EXPECT_EQ(load_recipe("LRC rank 0 (retarget only)").rank, (RankChoice{false, 0}));
  const auto for_llama_cpp = load_recipe("LRC 10 % for llama.cpp");
  EXPECT_FALSE(for_llama_cpp.rotation.r4);
  EXPECT_TRUE(for_llama_cpp.activation.off());
  EXPECT_EQ(for_llama_cpp.weight.group_size, 32u);
}

TEST(Recipe, IsFoundByNameFileOrGivenAsJson) {
  const test::TemporaryFolder folder;
  const auto file = folder.path() / "mine.json";
  write_file_atomically(file, to_text(unusual_recipe()));
  EXPECT_EQ(load_recipe(file), unusual_recipe());
  EXPECT_EQ(load_recipe(R"({"iterations": 3})").iterations, 3);
  EXPECT_TRUE(contains(sentence_of(ErrorKind::not_found, [] { load_recipe("LRC 11 %"); }), "\"LRC 10 %\""));
}

TEST(Rank, IsANumberOrAPercentage) {
  EXPECT_EQ(parse_rank("57"), (RankChoice{false, 57}));
  EXPECT_EQ(parse_rank("10%"), (RankChoice{true, 10}));
  EXPECT_EQ(parse_rank(" 10 % "), (RankChoice{true, 10}));
  EXPECT_EQ(parse_rank("7.5%"), (RankChoice{true, 7.5}));
  EXPECT_EQ(to_string(parse_rank("7.5 %")), "7.5%");
  for (const char* text : {"", "%", "5.5", "-1", "101%", "ten", "10%%", "1e999", "nan", "0x10", "10 57"})
    EXPECT_TRUE(contains(sentence_of(ErrorKind::bad_input, [&] { parse_rank(text); }), std::string("\"") + text)) << text;
}

TEST(Override, TextRoundTrips) {
  for (const char* text : {"*.down_proj:rank=15%", "a,b.[0-3]*:method=lrc,weight_bits=3,group_size=32,clip=0.95,rank=4,deflate=true",
                           "*:skip=true", "model.layers.7.mlp.down_proj:damping=0.001,gptq_damping=0.5"}) {
    EXPECT_EQ(to_string(parse_override(text)), text);
  }
  EXPECT_EQ(parse_override("*:deflate=on,weight-bits=3"), parse_override("*:deflate=true,weight_bits=3"));
  for (const char* text : {"", "*", ":rank=5", "*:", "*:rank", "*:=5", "*:rank=5,", "*:rank=5,colour=red", "*:weight_bits=1"})
    EXPECT_TRUE(contains(sentence_of(ErrorKind::bad_input, [&] { parse_override(text); }), "--set")) << text;
}

TEST(Glob, MatchesLikeAShell) {
  const std::string layer = "model.layers.7.mlp.down_proj";
  for (const char* pattern :
       {"*", "*.down_proj", "model.layers.[0-7].*", "model.layers.?.mlp.*", "x,*down*", " *.down_proj ,x", "model.layers.7.mlp.down_proj"})
    EXPECT_TRUE(matches(pattern, layer)) << pattern;
  for (const char* pattern :
       {"", ",", "down_proj", "model.layers.[0-6].*", "*.up_proj", "model.layers.??.*", "model.layers.[!7]*", "*.DOWN_proj"})
    EXPECT_FALSE(matches(pattern, layer)) << pattern;
}

LayerInfo layer_of(const std::string& name) { return *test::small_model()->find_layer(name); }

TEST(EffectiveScheme, LaterRulesWinOverEarlierOnesAndOverTheRecipe) {
  Recipe recipe;
  recipe.overrides = {parse_override("*.down_proj:rank=20%,weight_bits=3"), parse_override("model.layers.1.*:weight_bits=8,method=rtn"),
                      parse_override("model.layers.1.mlp.down_proj:method=lrc")};
  // min(64, 172): 10 % of 64 is 6, 20 % is 12 (rounded down).
  const auto plain = effective_scheme(recipe, layer_of("model.layers.0.mlp.up_proj"));
  EXPECT_EQ(plain.rank, 6u);
  EXPECT_EQ(plain.weight.bits, 4);
  const auto down = effective_scheme(recipe, layer_of("model.layers.0.mlp.down_proj"));
  EXPECT_EQ(down.rank, 12u);
  EXPECT_EQ(down.weight.bits, 3);
  const auto both = effective_scheme(recipe, layer_of("model.layers.1.mlp.down_proj"));
  EXPECT_EQ(both.rank, 12u);
  EXPECT_EQ(both.weight.bits, 8);
  EXPECT_EQ(both.method, "lrc");
  const auto rtn = effective_scheme(recipe, layer_of("model.layers.1.mlp.up_proj"));
  EXPECT_EQ(rtn.method, "rtn");
  EXPECT_EQ(rtn.rank, 0u) << "a method without a branch has no rank";
}

TEST(EffectiveScheme, RankRules) {
  Recipe recipe;
  const auto layer = layer_of("model.layers.0.mlp.down_proj");  // 64 × 172
  recipe.rank = {true, 10};
  recipe.rank_rule = RankRule::parameters;
  EXPECT_EQ(effective_scheme(recipe, layer).rank, 4u);  // 0.1 · 64 · 172 / 236 = 4.66
  recipe.rank = {true, 0.001};
  EXPECT_EQ(effective_scheme(recipe, layer).rank, 1u) << "at least 1 above 0";
  recipe.rank = {true, 0};
  EXPECT_EQ(effective_scheme(recipe, layer).rank, 0u);
  recipe.rank = {true, 100};
  recipe.rank_rule = RankRule::min_dimension;
  EXPECT_EQ(effective_scheme(recipe, layer).rank, 64u);
}

TEST(EffectiveScheme, LayersOutsideOfThePatternStayInFloat) {
  Recipe recipe;
  recipe.layers = "*.down_proj,*.up_proj";
  recipe.overrides = {parse_override("*.layers.2.*:skip=true"), parse_override("*.layers.3.*:weight_bits=16")};
  EXPECT_FALSE(effective_scheme(recipe, layer_of("model.layers.0.mlp.down_proj")).skipped);
  EXPECT_TRUE(effective_scheme(recipe, layer_of("model.layers.0.mlp.gate_proj")).skipped);
  EXPECT_TRUE(effective_scheme(recipe, layer_of("model.layers.2.mlp.down_proj")).skipped);
  EXPECT_TRUE(effective_scheme(recipe, layer_of("model.layers.3.mlp.down_proj")).skipped);
}

TEST(EffectiveScheme, ImpossibleChoicesNameTheLayer) {
  const auto layer = layer_of("model.layers.0.mlp.down_proj");
  const auto sentence = [&](const Recipe& recipe) { return sentence_of(ErrorKind::bad_input, [&] { effective_scheme(recipe, layer); }); };
  Recipe rank;
  rank.rank = {false, 65};
  EXPECT_TRUE(contains(sentence(rank), "model.layers.0.mlp.down_proj: rank 65")) << sentence(rank);
  EXPECT_TRUE(contains(sentence(rank), "at most 64"));
  Recipe group;
  group.weight.group_size = 64;  // divides the other layers' 64, not 172
  EXPECT_TRUE(contains(sentence(group), "groups of 64 do not divide")) << sentence(group);
  EXPECT_FALSE(problem_of(Recipe{}, *test::small_model()));
  EXPECT_TRUE(contains(problem_of(group, *test::small_model()).value_or(""), "model.layers.0.mlp.down_proj"));
  Recipe activation;
  activation.activation.group_size = 100;
  EXPECT_TRUE(contains(sentence(activation), "activation groups of 100"));
}

TEST(Problem, LayersOfOneSiteQuantizeTheirInputAlike) {
  Recipe recipe;
  recipe.overrides = {parse_override("model.layers.2.self_attn.k_proj:activation_bits=8")};
  const auto problem = problem_of(recipe, *test::small_model()).value_or("");
  EXPECT_TRUE(contains(problem, "model.layers.2.self_attn.q_proj and model.layers.2.self_attn.k_proj")) << problem;
  recipe.overrides = {parse_override("model.layers.2.self_attn.[qkv]_proj:activation_bits=8")};
  EXPECT_FALSE(problem_of(recipe, *test::small_model()));
}

TEST(Problem, NothingToDo) {
  Recipe recipe;
  recipe.layers = "*.fc1";
  EXPECT_TRUE(contains(problem_of(recipe, *test::small_model()).value_or(""), "\"*.fc1\""));
}

TEST(Command, NamesTheShippedRecipeAndWhatDiffers) {
  RunRequest request;
  request.model_path = "m.gguf";
  request.folder = "runs/my run";
  EXPECT_EQ(command_of(request), "lrc quantize m.gguf --out 'runs/my run' --recipe 'LRC 10 %'");
  request.recipe.overrides = {parse_override("*.down_proj:rank=15%")};
  request.recipe.calibration_tokens = 16384;
  EXPECT_EQ(command_of(request),
            "lrc quantize m.gguf --out 'runs/my run' --recipe 'LRC 10 %' --calibration-tokens 16384 --set '*.down_proj:rank=15%'");
  request.recipe = load_recipe("LRC 10 %");
  request.recipe.skip_first_positions = 1;
  EXPECT_EQ(command_of(request), "lrc quantize m.gguf --out 'runs/my run' --recipe 'LRC 10 %' --skip-first-positions 1");
  request.recipe = load_recipe("LRC 10 %");
  request.recipe.range_finder = RangeFinder::randomized;
  EXPECT_EQ(command_of(request), "lrc quantize m.gguf --out 'runs/my run' --recipe 'LRC 10 %' --range-finder randomized");
  request.recipe = load_recipe("LRC 10 %");
  request.recipe.rotation.high_share = 0.25;
  request.recipe.high_bits = 6;
  EXPECT_EQ(command_of(request), "lrc quantize m.gguf --out 'runs/my run' --recipe 'LRC 10 %' --high-precision 0.25 --high-bits 6");
  request.recipe = load_recipe("RTN W4A4");
  request.recipe.calibration = "it's.txt";
  EXPECT_EQ(command_of(request), "lrc quantize m.gguf --out 'runs/my run' --recipe 'RTN W4A4' --calibration 'it'\\''s.txt'");
}

TEST(Command, AQuantizedCacheAndItsRotation) {
  RunRequest request;
  request.model_path = "m.gguf";
  request.folder = "run";
  const std::string start = "lrc quantize m.gguf --out run --recipe 'LRC 10 %' --kv-bits 4";
  request.recipe.cache.bits = 4;
  request.recipe.rotation.r3 = true;
  EXPECT_EQ(command_of(request), start) << "--kv-bits brings R3 along";
  request.recipe.rotation.r3 = false;
  EXPECT_EQ(command_of(request), start + " --rotate r1,r2,r4");
  request.recipe.rotation = {.r2 = true, .r3 = true};
  request.recipe.cache.group_size = 4;
  request.recipe.cache.clip = 0.95f;
  request.recipe.cache.symmetric = true;
  EXPECT_EQ(command_of(request), start + " --kv-group-size 4 --kv-clip 0.95 --kv-symmetric --rotate r2,r3");
}

TEST(Command, SaysSmoothingImportedRotationsAndTheSecondText) {
  RunRequest request;
  request.model_path = "m.gguf";
  request.folder = "run";
  request.recipe = load_recipe("AWQ W4A16 g64");
  EXPECT_EQ(command_of(request), "lrc quantize m.gguf --out run --recipe 'AWQ W4A16 g64'");
  request.recipe = Recipe{};
  request.recipe.smoothing = Smoothing::smoothquant;
  request.recipe.smoothing_strength = 0.75;
  request.recipe.rotation.file = "r.safetensors";
  request.recipe.calibration_mix = CalibrationMix{"task.txt", 0.25};
  EXPECT_EQ(command_of(request),
            "lrc quantize m.gguf --out run --recipe 'LRC 10 %' --rotate r.safetensors,r4 --smoothing smoothquant "
            "--smoothing-strength 0.75 --calibration-mix task.txt:0.25");
}

TEST(Command, SaysAsJsonWhatFlagsCannot) {
  RunRequest request;
  request.model_path = "m.gguf";
  request.folder = "run";
  request.recipe = unusual_recipe();
  request.recipe.name = "plain";
  const std::string command = command_of(request), start = "lrc quantize m.gguf --out run --recipe '";
  ASSERT_TRUE(command.starts_with(start)) << command;
  const std::string json = command.substr(start.size(), command.size() - start.size() - 1);
  EXPECT_EQ(load_recipe(json), request.recipe);
}

}  // namespace
}  // namespace lrc
