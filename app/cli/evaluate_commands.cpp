#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <random>

#include "base/error.h"
#include "base/parallel.h"
#include "cli/commands.h"
#include "cli/parse.h"
#include "evaluation/evaluation.h"
#include "formats/safetensors.h"
#include "run/open_model.h"

namespace lrc::cli {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

std::uint64_t peak_rss_bytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return std::uint64_t(usage.ru_maxrss) * 1024;
}

}  // namespace

void logits(const Context& context, const LogitsOptions& options) {
  const auto opened = open_model(options.model);
  const auto transformer = make_transformer(opened, context.device);
  const auto ids = parse_ids(options.ids);
  KvCache cache = transformer->make_cache(ids.size());
  transformer->forward(ids, cache);
  const MatrixF rows = options.all ? transformer->logits(0, ids.size()) : transformer->logits(ids.size() - 1, 1);
  SafetensorsWriter writer;
  writer.add("logits", rows);
  writer.write(options.out);
  context.print_json({{"out", options.out}, {"tokens", ids.size()}, {"rows", rows.rows()}, {"vocabulary", rows.columns()}});
  if (!context.json) std::cout << options.out << ": logits (" << rows.rows() << ", " << rows.columns() << ")\n";
}

void perplexity(const Context& context, const PerplexityOptions& options) {
  const auto opened = open_model(options.model);
  std::optional<OpenedModel> reference;
  if (!options.reference.empty()) {
    reference = open_model(options.reference, opened.model);
    if (reference->model->config().vocabulary != opened.model->config().vocabulary)
      throw Error(ErrorKind::bad_input,
                  options.reference + " has another vocabulary than " + options.model + "; KL needs the same tokens.");
  }
  const auto tokenizer = opened.model->tokenizer();
  const auto ids = tokenizer->encode(read_corpus(options.text), false);
  const std::size_t length = std::min(options.window_context, opened.model->config().context);
  const TokenWindows windows = cut_windows(ids, length, options.windows, options.text);
  const auto model = make_transformer(opened, context.device);
  const auto other = reference ? make_transformer(*reference, context.device) : nullptr;
  const auto progress = context.make_progress();
  const Evaluation e = evaluate(*model, other.get(), windows, *progress, context.stop);

  Json result = {{"perplexity", e.perplexity}, {"nll", e.nll},         {"tokens", e.tokens},      {"windows", e.windows},
                 {"context", e.context},       {"seconds", e.seconds}, {"device", context.device}};
  if (e.kl) {
    result["kl"] = {{"mean", e.kl->mean}, {"median", e.kl->median}, {"p90", e.kl->p90}, {"p95", e.kl->p95},
                    {"p99", e.kl->p99},   {"p999", e.kl->p999},     {"max", e.kl->max}};
    result["top1_agreement"] = *e.top1_agreement;
    if (e.reference_perplexity) result["reference_perplexity"] = *e.reference_perplexity;
  }
  context.print_json(result);
  if (context.json) return;
  std::cout << "perplexity " << fixed(e.perplexity, 4) << " (nll " << fixed(e.nll, 6) << ", " << e.tokens << " tokens in " << e.windows
            << " windows of " << e.context << ", every position from the second on)\n";
  if (e.kl) {
    if (e.reference_perplexity) std::cout << "reference  " << fixed(*e.reference_perplexity, 4) << '\n';
    std::cout << "KL mean " << fixed(e.kl->mean, 4) << ", median " << fixed(e.kl->median, 4) << ", p90 " << fixed(e.kl->p90, 4) << ", p99 "
              << fixed(e.kl->p99, 4) << ", max " << fixed(e.kl->max, 2) << " nats; same top token " << per_cent(*e.top1_agreement, 1)
              << '\n';
  }
  std::cout << fixed(e.seconds, 1) << " s\n";
}

void bench(const Context& context, const BenchOptions& options) {
  const auto opened = open_model(options.model);
  const auto transformer = make_transformer(opened, context.device);
  const std::size_t vocabulary = opened.model->config().vocabulary;
  const std::size_t repeat = std::max<std::size_t>(1, options.repeat);
  std::mt19937 random(1);
  const auto random_ids = [&](std::size_t count) {
    std::vector<int> ids(count);
    for (auto& id : ids) id = int(random() % vocabulary);
    return ids;
  };

  // A warm-up, then the kinds in turn, so that a change of the machine's pace meets all of them.
  const auto lengths = parse_ids(options.prompt_tokens);
  std::vector<std::vector<double>> prompt(lengths.size());
  std::vector<double> generate;
  for (std::size_t round = 0; round <= repeat; ++round) {
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      const auto ids = random_ids(std::size_t(std::max(1, lengths[i])));
      KvCache cache = transformer->make_cache(ids.size());
      const auto start = std::chrono::steady_clock::now();
      transformer->forward(ids, cache);
      (void)transformer->logits(ids.size() - 1, 1);
      if (round > 0) prompt[i].push_back(double(ids.size()) / seconds_since(start));
      throw_if_stopped(context.stop);
    }
    KvCache cache = transformer->make_cache(options.generate_tokens + 1);
    auto ids = random_ids(1);
    transformer->forward(ids, cache);
    (void)transformer->logits(0, 1);
    const auto start = std::chrono::steady_clock::now();
    for (std::size_t t = 0; t < options.generate_tokens; ++t) {
      ids = random_ids(1);
      transformer->forward(ids, cache);
      (void)transformer->logits(0, 1);
      throw_if_stopped(context.stop);
    }
    if (round > 0 && options.generate_tokens > 0) generate.push_back(double(options.generate_tokens) / seconds_since(start));
  }

  Json prompt_rates = Json::array(), generate_rates = Json::array();
  for (std::size_t i = 0; i < lengths.size(); ++i)
    prompt_rates.push_back({{"tokens", lengths[i]}, {"tokens_per_second", median(prompt[i])}, {"all", prompt[i]}});
  if (!generate.empty())
    generate_rates.push_back({{"tokens", options.generate_tokens}, {"tokens_per_second", median(generate)}, {"all", generate}});
  const Json result = {{"device", transformer->backend().info().name},
                       {"device_id", context.device},
                       {"features", transformer->backend().info().features},
                       {"threads", thread_count()},
                       {"prompt", prompt_rates},
                       {"generate", generate_rates},
                       {"weights_bytes", transformer->weight_bytes()},
                       {"cache_bytes_per_token", transformer->cache_bytes_per_token()},
                       {"peak_rss_bytes", peak_rss_bytes()}};
  context.print_json(result);
  if (context.json) return;
  std::cout << opened.title << " on " << transformer->backend().info().name << ", " << thread_count() << " threads, median of " << repeat
            << '\n';
  for (const auto& row : prompt_rates)
    std::cout << "prompt " << row["tokens"] << ": " << fixed(row["tokens_per_second"].get<double>(), 1) << " tokens/s\n";
  for (const auto& row : generate_rates)
    std::cout << "generate " << row["tokens"] << ": " << fixed(row["tokens_per_second"].get<double>(), 1) << " tokens/s\n";
  std::cout << "weights " << megabytes(transformer->weight_bytes()) << ", keys and values " << transformer->cache_bytes_per_token()
            << " bytes a token, peak memory " << megabytes(peak_rss_bytes()) << '\n';
}

}  // namespace lrc::cli
