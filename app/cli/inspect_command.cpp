#include <cstdio>
#include <iostream>
#include <optional>

#include "backend/backend.h"
#include "backend/self_test.h"
#include "base/error.h"
#include "cli/commands.h"
#include "run/open_model.h"

namespace lrc::cli {

void inspect(const Context& context, const InspectOptions& options) {
  const OpenedModel opened = open_model(options.model);
  const Model& model = *opened.model;
  const ModelConfig& c = model.config();
  const auto problem = model.tokenizer_problem();

  Json layers = Json::array();
  for (const auto& layer : model.layers())
    layers.push_back({{"name", layer.name},
                      {"block", layer.block},
                      {"role", std::string(name(layer.role))},
                      {"out_features", layer.out_features},
                      {"in_features", layer.in_features},
                      {"dtype", std::string(name(layer.dtype))},
                      {"parameters", layer.parameters()}});
  Json result = {{"architecture", c.architecture},
                 {"name", model.display_name()},
                 {"parameters", model.parameters()},
                 {"file_bytes", model.checkpoint().file_bytes()},
                 {"hidden_size", c.hidden_size},
                 {"blocks", c.blocks},
                 {"heads", c.heads},
                 {"kv_heads", c.kv_heads},
                 {"head_dim", c.head_dim},
                 {"feed_forward", c.feed_forward},
                 {"vocabulary", c.vocabulary},
                 {"context", c.context},
                 {"tied_embeddings", c.tied_embeddings},
                 {"tokenizer", nullptr},
                 {"chat_template", !model.chat_template().empty()}};
  if (problem) {
    result["tokenizer_problem"] = *problem;
  } else {
    const TokenizerSpec& spec = model.tokenizer()->spec();
    result["tokenizer"] = spec.kind == TokenizerSpec::Kind::sentencepiece_bpe ? "sentencepiece-bpe" : "byte-level-bpe/" + spec.pre;
  }
  if (c.experts > 0) {
    result["experts"] = c.experts;
    result["experts_per_token"] = c.experts_per_token;
  }
  if (opened.run) result["run"] = {{"recipe", opened.run->recipe.name}, {"bits_per_weight", opened.run->bits_per_weight}};
  result["layers"] = std::move(layers);
  context.print_json(result);
  if (context.json) return;

  std::cout << model.display_name() << ": " << c.architecture << ", " << fixed(double(model.parameters()) / 1e6, 1) << " M parameters, "
            << megabytes(model.checkpoint().file_bytes()) << "\n"
            << "hidden " << c.hidden_size << ", " << c.blocks << " blocks, " << c.heads << " heads and " << c.kv_heads << " KV heads of "
            << c.head_dim << ", feed-forward " << c.feed_forward
            << (c.experts > 0 ? " in " + std::to_string(c.experts) + " experts, " + std::to_string(c.experts_per_token) + " a token" : "")
            << ", vocabulary " << c.vocabulary << ", context " << c.context << (c.tied_embeddings ? ", tied embeddings" : "") << "\n"
            << "tokenizer " << (problem ? "unusable: " + *problem : result["tokenizer"].get<std::string>())
            << (model.chat_template().empty() ? ", no chat template" : ", chat template") << "\n";
  if (opened.run) std::cout << "run " << opened.run->recipe.name << ", " << fixed(opened.run->bits_per_weight, 2) << " bits per weight\n";
  if (options.summary) return;
  std::vector<std::vector<std::string>> rows = {{"layer", "out", "in", "dtype"}};
  for (const auto& layer : model.layers())
    rows.push_back({layer.name, std::to_string(layer.out_features), std::to_string(layer.in_features), std::string(name(layer.dtype))});
  print_table(rows);
}

namespace {

Json describe(const DeviceCheck& check) {
  Json kernels = Json::array();
  for (const auto& kernel : check.kernels)
    kernels.push_back({{"kernel", kernel.kernel},
                       {"largest_relative_error", kernel.largest_error},
                       {"allowed", kernel.allowed},
                       {"passed", kernel.passed()},
                       {"failure", kernel.failure.empty() ? Json(nullptr) : Json(kernel.failure)}});
  return {{"passed", check.passed()},
          {"failure", check.failure.empty() ? Json(nullptr) : Json(check.failure)},
          {"kernels", kernels},
          {"gigabytes_per_second", check.gigabytes_per_second},
          {"giga_operations_per_second", check.giga_operations_per_second},
          {"giga_integer_operations_per_second", check.giga_integer_operations_per_second}};
}

void print(const DeviceCheck& check) {
  if (!check.failure.empty()) {
    std::cout << "   self-test: " << check.failure << '\n';
    return;
  }
  std::size_t failed = 0;
  for (const auto& kernel : check.kernels) failed += !kernel.passed();
  std::cout << "   self-test: " << check.kernels.size() - failed << " of " << check.kernels.size() << " kernels agree with the definition";
  char error[32];
  if (const auto* worst = check.worst()) {
    std::snprintf(error, sizeof error, "%.1e", worst->largest_error);
    std::cout << "; " << (worst->passed() ? "nearest to its limit " : "at fault ") << worst->kernel << ", relative error " << error;
  }
  std::cout << "\n   " << fixed(check.gigabytes_per_second, 1) << " GB/s read, " << fixed(check.giga_operations_per_second, 1)
            << " GOP/s in float32, " << fixed(check.giga_integer_operations_per_second, 1) << " GOP/s W4A4\n";
}

}  // namespace

void devices(const Context& context, const DevicesOptions& options) {
  Json list = Json::array();
  bool passed = true;
  for (const auto& device : list_devices()) {
    std::optional<DeviceCheck> check;
    if (options.self_test && device.usable) {
      const auto progress = context.make_progress();
      check = check_device(device.id, *progress, context.stop);
      passed = passed && check->passed();
    }
    list.push_back({{"id", device.id},
                    {"name", device.name},
                    {"type", device.type},
                    {"driver", device.driver},
                    {"memory_bytes", device.memory_bytes},
                    {"features", device.features},
                    {"usable", device.usable},
                    {"why_not", device.usable ? Json(nullptr) : Json(device.why_not)}});
    if (check) list.back()["self_test"] = describe(*check);
    if (context.json) continue;
    std::cout << device.id << "  " << device.name << " (" << device.type << "), " << fixed(double(device.memory_bytes) / (1u << 30), 1)
              << " GiB";
    for (const auto& feature : device.features) std::cout << ", " << feature;
    if (!device.usable) std::cout << "; cannot be used: " << device.why_not;
    std::cout << '\n';
    if (check) print(*check);
  }
  context.print_json({{"devices", list}});
  if (!passed) throw Error(ErrorKind::device, "A device does not compute what its scalar definition says; see the kernels at fault above.");
}

}  // namespace lrc::cli
