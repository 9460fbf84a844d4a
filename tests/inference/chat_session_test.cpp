#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/files.h"
#include "inference/generate.h"
#include "model/probabilities.h"
#include "support/failing_backend.h"
#include "support/test_data.h"
#include "support/tiny_model.h"

namespace lrc::test {
namespace {

const Sampling greedy_choice{};

class Chat : public testing::Test {
 protected:
  Chat() : model_(Model::open(data("stories260K/stories260K-f32.gguf"))), weights_(load_weights(*model_)) {}

  ChatSession session(std::size_t context = 512) { return session(weights_, context); }
  ChatSession session(const ModelWeights& weights, std::size_t context = 512) {
    return ChatSession(std::make_shared<Transformer>(make_cpu_backend(), weights), model_->tokenizer(), context);
  }
  std::vector<TokenId> prompt(const std::string& text) {
    std::vector<TokenId> ids = {1};
    const auto encoded = model_->tokenizer()->encode(text, false);
    ids.insert(ids.end(), encoded.begin(), encoded.end());
    return ids;
  }
  std::shared_ptr<const Model> model_;
  ModelWeights weights_;
};

TEST_F(Chat, TellsTheStoryOfTheReferenceProgram) {
  const std::string expected = read_file(data("stories260K/golden/greedy_once_upon_a_time_200.txt"));
  ChatSession chat = session();
  std::string streamed;
  const Generation answer = chat.generate(prompt("Once upon a time"), 190, greedy_choice,
                                          [&](const GeneratedToken& token) {
                                            streamed += token.text;
                                            EXPECT_GT(token.probability, 0.0);
                                            EXPECT_LE(token.probability, 1.0);
                                            return true;
                                          },
                                          {});
  EXPECT_EQ(answer.text, streamed);
  const std::string whole = "Once upon a time" + answer.text;
  ASSERT_GT(whole.size(), 300u);
  EXPECT_EQ(whole.substr(0, 300), expected.substr(0, 300));
  EXPECT_EQ(answer.reason, StopReason::length);
  EXPECT_EQ(answer.ids.size(), 190u);
  EXPECT_EQ(answer.prompt_tokens, prompt("Once upon a time").size());
  EXPECT_GT(answer.tokens_per_second, 0);
  EXPECT_GT(answer.prompt_tokens_per_second, 0);
  EXPECT_GT(answer.first_token_s, 0);
}

TEST_F(Chat, GoesOnWithoutReadingAgain) {
  ChatSession chat = session(), fresh = session();
  const auto question = prompt("Lily saw a dog.");
  Generation first = chat.generate(question, 20, greedy_choice, {}, {});
  EXPECT_EQ(chat.cached_tokens(), question.size() + 19) << "the last token is not needed yet";
  std::vector<TokenId> longer = question;
  longer.insert(longer.end(), first.ids.begin(), first.ids.end());
  const auto more = model_->tokenizer()->encode("The dog was happy.", false);
  longer.insert(longer.end(), more.begin(), more.end());
  const Generation second = chat.generate(longer, 20, greedy_choice, {}, {});
  const Generation anew = fresh.generate(longer, 20, greedy_choice, {}, {});
  EXPECT_EQ(second.ids, anew.ids);
  EXPECT_EQ(second.text, anew.text);
  // A prompt that leaves the old path in the middle, and the same one twice.
  std::vector<TokenId> other = longer;
  other[question.size() + 3] = 300;
  const Generation changed = chat.generate(other, 10, greedy_choice, {}, {});
  EXPECT_EQ(changed.ids, session().generate(other, 10, greedy_choice, {}, {}).ids);
  EXPECT_EQ(chat.generate(other, 10, greedy_choice, {}, {}).ids, changed.ids);
}

TEST_F(Chat, LogitsAfterAReusedPrefixAreThoseOfAFreshRead) {
  ChatSession chat = session(), fresh = session();
  const auto question = prompt("Tom and Lily went to the park to play with a big red ball.");
  const std::vector<TokenId> first(question.begin(), question.begin() + 9);
  chat.score(first, {5}, [](std::size_t, const float*) {}, {});
  MatrixF reused(1, 512), read(1, 512);
  chat.score(question, {5}, [&](std::size_t, const float* logits) { std::copy_n(logits, 512, reused.data()); }, {});
  fresh.score(question, {5}, [&](std::size_t, const float* logits) { std::copy_n(logits, 512, read.data()); }, {});
  EXPECT_LE(largest_difference(reused, read), 1e-4);
  // The same question again: only its last token is read, on the same keys and values.
  MatrixF again(1, 512), once_more(1, 512);
  chat.score(question, {5}, [&](std::size_t, const float* logits) { std::copy_n(logits, 512, again.data()); }, {});
  chat.score(question, {5}, [&](std::size_t, const float* logits) { std::copy_n(logits, 512, once_more.data()); }, {});
  EXPECT_EQ(again, once_more);
}

TEST_F(Chat, StopsWithinAToken) {
  ChatSession chat = session();
  std::stop_source stop;
  std::size_t seen = 0;
  const Generation answer = chat.generate(
      prompt("Once"), 100, greedy_choice,
      [&](const GeneratedToken&) {
        if (++seen == 5) stop.request_stop();
        return true;
      },
      stop.get_token());
  EXPECT_EQ(answer.ids.size(), 5u);
  EXPECT_EQ(answer.reason, StopReason::stopped);
  std::size_t told = 0;
  const Generation refused = chat.generate(prompt("Once"), 100, greedy_choice, [&](const GeneratedToken&) { return ++told < 3; }, {});
  EXPECT_EQ(refused.ids.size(), 3u);
  EXPECT_EQ(refused.reason, StopReason::stopped);
  const Generation nothing = chat.generate(prompt("Another beginning"), 100, greedy_choice, {}, stop.get_token());
  EXPECT_TRUE(nothing.ids.empty());
  EXPECT_EQ(nothing.reason, StopReason::stopped);
  // What was cut short is no harm to what follows.
  EXPECT_EQ(chat.generate(prompt("Another beginning"), 8, greedy_choice, {}, {}).ids,
            session().generate(prompt("Another beginning"), 8, greedy_choice, {}, {}).ids);
}

TEST_F(Chat, EndsWithTheTurn) {
  // The most likely token after this prompt is made a stop token.
  ChatSession plain = session();
  const auto question = prompt("Once upon a time");
  const Generation free = plain.generate(question, 12, greedy_choice, {}, {});
  TokenizerSpec spec = model_->tokenizer()->spec();
  spec.stop.push_back(free.ids[6]);
  ChatSession ending(std::make_shared<Transformer>(make_cpu_backend(), weights_), make_tokenizer(spec), 512);
  const Generation answer = ending.generate(question, 12, greedy_choice, {}, {});
  const auto first = std::find(free.ids.begin(), free.ids.end(), free.ids[6]);
  EXPECT_EQ(answer.ids, std::vector<TokenId>(free.ids.begin(), first)) << "without the stop token";
  EXPECT_EQ(answer.reason, StopReason::end_of_turn);
}

TEST_F(Chat, TheContextIsTheEnd) {
  ChatSession chat = session(16);
  const auto question = prompt("Once upon a time");
  const Generation answer = chat.generate(question, 100, greedy_choice, {}, {});
  EXPECT_EQ(answer.reason, StopReason::context_full);
  EXPECT_EQ(question.size() + answer.ids.size(), 17u) << "the last token needs no place of its own";
  EXPECT_EQ(answer.ids, session().generate(question, answer.ids.size(), greedy_choice, {}, {}).ids);
  try {
    chat.generate(std::vector<TokenId>(17, 5), 1, greedy_choice, {}, {});
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr("17"), testing::HasSubstr("16")));
  }
  EXPECT_THROW(chat.generate({}, 1, greedy_choice, {}, {}), Error);
  EXPECT_EQ(chat.generate(question, 0, greedy_choice, {}, {}).ids.size(), 0u);
  EXPECT_EQ(session(100000).context(), 512u) << "never longer than the model's own";
}

TEST_F(Chat, TheContextCanBeChangedWithinAConversation) {
  ChatSession chat = session();
  const auto question = prompt("Once upon a time");
  const Generation free = chat.generate(question, 30, greedy_choice, {}, {});
  chat.set_context(question.size() + 4);
  const Generation cut = chat.generate(question, 30, greedy_choice, {}, {});
  EXPECT_EQ(cut.reason, StopReason::context_full);
  EXPECT_EQ(cut.ids, std::vector<TokenId>(free.ids.begin(), free.ids.begin() + 5));
  chat.set_context(1000000);
  EXPECT_EQ(chat.context(), 512u);
  EXPECT_EQ(chat.generate(question, 30, greedy_choice, {}, {}).ids, free.ids);
  EXPECT_THROW(chat.set_context(0), Error);
  EXPECT_THROW(session(0), Error);
}

TEST_F(Chat, ScoreGivesThePredictionOfEachToken) {
  ChatSession chat = session();
  const auto question = prompt("Once upon a time");
  const Generation answer = chat.generate(question, 70, greedy_choice, {}, {});  // more than two pieces
  std::vector<TokenId> predicted;
  chat.score(question, answer.ids,
             [&](std::size_t index, const float* logits) {
               EXPECT_EQ(index, predicted.size());
               predicted.push_back(TokenId(likeliest(logits, 512)));
             },
             {});
  EXPECT_EQ(predicted, answer.ids);
}

TEST_F(Chat, ComparesAnAnswerFromBothSides) {
  const ModelWeights coarse = quantized(weights_, {.bits = 3}, {.bits = 16}, 0);
  ChatSession first = session(), second = session(coarse), same = session();
  const auto question = prompt("Once upon a time");
  const Generation answer = first.generate(question, 40, greedy_choice, {}, {});
  const auto table = compare_answer(first, second, question, answer.ids, {});
  ASSERT_EQ(table.size(), 40u);
  double mean = 0;
  for (std::size_t i = 0; i < table.size(); ++i) {
    EXPECT_EQ(table[i].id, answer.ids[i]);
    ASSERT_EQ(table[i].top_first.size(), 5u);
    EXPECT_EQ(table[i].top_first[0].id, answer.ids[i]) << "greedy: its own token is the likeliest";
    EXPECT_NEAR(table[i].top_first[0].probability, table[i].probability_first, 1e-12);
    EXPECT_GE(table[i].top_second[0].probability, table[i].probability_second);
    const auto place = std::find_if(table[i].top_second.begin(), table[i].top_second.end(),
                                    [&](const TokenComparison::Candidate& candidate) { return candidate.id == table[i].id; });
    if (place != table[i].top_second.end()) {
      EXPECT_EQ(table[i].rank_second, std::size_t(place - table[i].top_second.begin()) + 1);
    } else {
      EXPECT_GT(table[i].rank_second, 5u);
    }
    for (std::size_t c = 1; c < 5; ++c) EXPECT_GE(table[i].top_second[c - 1].probability, table[i].top_second[c].probability);
    mean += table[i].kl / 40;
  }
  EXPECT_GT(mean, 1e-4);
  for (const TokenComparison& token : compare_answer(first, same, question, answer.ids, {})) EXPECT_LE(token.kl, 1e-6);

  // By hand for one token in the second piece.
  std::vector<TokenId> before = question;
  before.insert(before.end(), answer.ids.begin(), answer.ids.begin() + 35);
  Transformer p = on_cpu(weights_), q = on_cpu(coarse);
  const MatrixF a = all_logits(p, before), b = all_logits(q, before);
  EXPECT_NEAR(table[35].kl, kl_divergence(a.row(before.size() - 1), b.row(before.size() - 1), 512), 1e-4);
  EXPECT_THROW(compare_answer(first, second, question, {100000}, {}), Error);
  EXPECT_TRUE(compare_answer(first, second, question, {}, {}).empty());
}

class LostDevice : public Chat {
 protected:
  /// Two turns; the device stops working at its n-th operation. What was said, and the sentences that were told.
  struct Conversation {
    std::vector<TokenId> first, second;
    std::string text;
    std::vector<std::string> told;
    bool lost = false;
  };
  Conversation talk(std::size_t fails_at, ErrorKind kind = ErrorKind::device_lost, const Sampling& sampling = {}) {
    const auto device = std::make_shared<FailingBackend>(make_cpu_backend(), kind);
    ChatSession chat(std::make_shared<Transformer>(device, weights_), model_->tokenizer(), 512);
    Conversation result;
    chat.set_fallback({[&] { return std::make_shared<Transformer>(make_cpu_backend(), weights_); },
                       [&](const std::string& sentence) { result.told.push_back(sentence); }});
    if (fails_at > 0) device->arm(fails_at);
    std::vector<TokenId> ids = prompt("Lily saw a dog.");
    const auto stream = [&](const GeneratedToken& token) {
      result.text += token.text;
      return true;
    };
    result.first = chat.generate(ids, 12, sampling, stream, {}).ids;
    ids.insert(ids.end(), result.first.begin(), result.first.end());
    const auto more = model_->tokenizer()->encode("The dog was happy.", false);
    ids.insert(ids.end(), more.begin(), more.end());
    result.second = chat.generate(ids, 12, sampling, stream, {}).ids;
    result.lost = device->lost();
    return result;
  }
};

TEST_F(LostDevice, TheConversationGoesOnWhereverItHappens) {
  const Sampling warm{.temperature = 0.8f, .top_p = 0.95f, .seed = 4};
  const Conversation whole = talk(0, ErrorKind::device_lost, warm);
  ASSERT_TRUE(whole.told.empty());
  std::size_t last = 0;
  for (std::size_t n = 1; n < 8000; n = n < 30 ? n + 1 : n + 151) {
    SCOPED_TRACE("operation " + std::to_string(n));
    const Conversation cut = talk(n, ErrorKind::device_lost, warm);
    if (!cut.lost) break;
    last = n;
    ASSERT_EQ(cut.told, std::vector<std::string>{"The test's device stopped working."});
    // The same kernels behind it: nothing is lost, doubled or drawn again.
    ASSERT_EQ(cut.first, whole.first);
    ASSERT_EQ(cut.second, whole.second);
    ASSERT_EQ(cut.text, whole.text);
  }
  EXPECT_GT(last, 2000u) << "it failed in the second turn too";
}

TEST_F(LostDevice, MemoryThatRunsOutMovesItToo) {
  const Conversation whole = talk(0), cut = talk(200, ErrorKind::device);
  EXPECT_EQ(cut.told.size(), 1u);
  EXPECT_EQ(cut.text, whole.text);
}

TEST_F(LostDevice, WithoutAFallbackTheErrorIsTold) {
  const auto device = std::make_shared<FailingBackend>(make_cpu_backend());
  ChatSession chat(std::make_shared<Transformer>(device, weights_), model_->tokenizer(), 512);
  device->arm(300);
  try {
    chat.generate(prompt("Once"), 20, greedy_choice, {}, {});
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::device_lost);
  }
  // Other errors are no reason to move.
  bool moved = false;
  ChatSession healthy = session();
  healthy.set_fallback({[&] {
                          moved = true;
                          return std::make_shared<Transformer>(make_cpu_backend(), weights_);
                        },
                        {}});
  EXPECT_THROW(healthy.generate({100000}, 1, greedy_choice, {}, {}), Error);
  EXPECT_FALSE(moved);
}

TEST_F(LostDevice, ComparingGoesOnToo) {
  const auto question = prompt("Once upon a time");
  ChatSession first = session();
  const Generation answer = first.generate(question, 70, greedy_choice, {}, {});
  for (const std::size_t n : {1u, 90u, 150u, 200u, 250u, 300u, 350u, 400u}) {
    SCOPED_TRACE("operation " + std::to_string(n));
    const auto device = std::make_shared<FailingBackend>(make_cpu_backend());
    ChatSession second(std::make_shared<Transformer>(device, weights_), model_->tokenizer(), 512);
    std::size_t told = 0;
    second.set_fallback({[&] { return std::make_shared<Transformer>(make_cpu_backend(), weights_); }, [&](const std::string&) { ++told; }});
    device->arm(n);
    const auto table = compare_answer(first, second, question, answer.ids, {});
    EXPECT_EQ(told, 1u);
    ASSERT_EQ(table.size(), answer.ids.size());
    for (std::size_t i = 0; i < table.size(); ++i) {
      EXPECT_LE(table[i].kl, 1e-6) << i;
      EXPECT_EQ(table[i].top_second[0].id, answer.ids[i]);
    }
  }
}

TEST_F(Chat, TheBranchControlsWhatIsSaid) {
  const ModelWeights coarse = quantized(weights_, {.bits = 4}, {.bits = 16}, 4);
  ModelWeights bare = coarse;
  for (BlockWeights& block : bare.blocks) {
    for (LinearWeights& linear : block.linears) linear.pair = {};
  }
  ChatSession chat = session(coarse), without = session(bare);
  const auto question = prompt("Once upon a time");
  const Generation full = chat.generate(question, 20, greedy_choice, {}, {});
  chat.set_branch({.bypass = true});
  EXPECT_EQ(chat.cached_tokens(), 0u);
  EXPECT_EQ(chat.generate(question, 20, greedy_choice, {}, {}).ids, without.generate(question, 20, greedy_choice, {}, {}).ids);
  chat.set_branch({.bypass = true});
  EXPECT_GT(chat.cached_tokens(), 0u) << "the same setting keeps the cache";
  chat.set_branch({});
  EXPECT_EQ(chat.generate(question, 20, greedy_choice, {}, {}).ids, full.ids);
}

}  // namespace
}  // namespace lrc::test
