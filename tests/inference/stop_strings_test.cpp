#include "inference/stop_strings.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>

#include "base/error.h"
#include "inference/generate.h"
#include "support/test_data.h"
#include "support/tiny_model.h"

namespace lrc::test {
namespace {

/// What is shown piece by piece, joined by "|".
std::string shown(std::vector<std::string> stop, const std::vector<std::string>& pieces) {
  StopStrings strings(std::move(stop));
  std::string out;
  for (const std::string& piece : pieces) out += strings.push(piece) + "|";
  return out + strings.flush();
}

TEST(StopStrings, EndBeforeTheString) {
  EXPECT_EQ(shown({"END"}, {"a", "bEND", "c"}), "a|b||");
  EXPECT_EQ(shown({"END"}, {"a", "b", "c"}), "a|b|c|");
  EXPECT_EQ(shown({"END"}, {"END"}), "|");
  EXPECT_EQ(shown({}, {"a", "b"}), "a|b|") << "without any";
}

TEST(StopStrings, NoHalfOfOneIsShown) {
  EXPECT_EQ(shown({"END"}, {"xE", "N", "D", "y"}), "x||||");
  EXPECT_EQ(shown({"END"}, {"xE", "N", "d", "y"}), "x||ENd|y|") << "it was none after all";
  EXPECT_EQ(shown({"END"}, {"xE", "N"}), "x||EN") << "the answer ended by itself";
  // What is held back may be the beginning of another one.
  EXPECT_EQ(shown({"aab"}, {"a", "a", "a", "b"}), "||a||");
  EXPECT_EQ(shown({"\n\nUser:"}, {"One.\n", "\n", "Us", "age\n"}), "One.|||\n\nUsage|\n");
}

TEST(StopStrings, TheFirstCompleteOneCounts) {
  EXPECT_EQ(shown({"abcd", "bc"}, {"xabc"}), "xa|") << "bc is complete while abcd is not";
  EXPECT_EQ(shown({"abcd", "bc"}, {"xabcd"}), "xa|") << "whatever the pieces";
  EXPECT_EQ(shown({"c", "abc"}, {"xabc"}), "x|") << "of two with the same last character the longer";
  EXPECT_EQ(shown({"abc", "c"}, {"xabc"}), "x|");
}

TEST(StopStrings, TheSameInWhateverPieces) {
  std::mt19937 random(5);
  for (int round = 0; round < 2000; ++round) {
    const auto word = [&](std::size_t longest) {
      std::string text;
      for (std::size_t n = 1 + random() % longest; n > 0; --n) text += char('a' + random() % 2);
      return text;
    };
    const std::vector<std::string> stop = {word(3), word(5)};
    const std::string text = word(14);
    StopStrings at_once(stop), in_pieces(stop);
    std::string whole = at_once.push(text);
    const bool met = at_once.met();
    whole += at_once.flush();
    std::string joined;
    for (std::size_t i = 0; i < text.size();) {
      const std::size_t length = std::min<std::size_t>(1 + random() % 3, text.size() - i);
      joined += in_pieces.push(text.substr(i, length));
      // No stop string, nor the beginning of one that comes, is ever shown.
      ASSERT_EQ(whole.substr(0, joined.size()), joined) << text << " until " << stop[0] << " or " << stop[1];
      i += length;
    }
    joined += in_pieces.flush();
    ASSERT_EQ(joined, whole) << text << " until " << stop[0] << " or " << stop[1];
    ASSERT_EQ(in_pieces.met(), met);
    for (const std::string& each : stop) ASSERT_EQ(joined.find(each), std::string::npos);
    ASSERT_TRUE(met || joined == text) << joined;
  }
}

TEST(StopStrings, RefusesWhatCanNeverBeMet) {
  EXPECT_THROW(StopStrings({""}), Error);
  EXPECT_THROW(StopStrings({"fine", "\xC3"}), Error) << "half a character";
  EXPECT_THROW(StopStrings({"\xA9"}), Error);
  EXPECT_NO_THROW(StopStrings({"é", "日本", "\n"}));
}

class ChatThatStops : public testing::Test {
 protected:
  ChatThatStops() : model_(Model::open(data("stories260K/stories260K-f32.gguf"))), weights_(load_weights(*model_)) {
    prompt_ = {1};
    const auto encoded = model_->tokenizer()->encode("Once upon a time", false);
    prompt_.insert(prompt_.end(), encoded.begin(), encoded.end());
  }
  Generation say(const Sampling& sampling, std::size_t most = 60, std::string* streamed = nullptr) {
    ChatSession chat(std::make_shared<Transformer>(make_cpu_backend(), weights_), model_->tokenizer(), 512);
    return chat.generate(prompt_, most, sampling,
                         [&](const GeneratedToken& token) {
                           if (streamed) *streamed += token.text;
                           return true;
                         },
                         {});
  }
  std::shared_ptr<const Model> model_;
  ModelWeights weights_;
  std::vector<TokenId> prompt_;
};

TEST_F(ChatThatStops, BeforeTheStringWhereverTokensEnd) {
  const Generation free = say({});
  ASSERT_GT(free.text.size(), 60u);
  // Every piece of the answer as stop string: within a token, across two, across many.
  for (std::size_t begin = 0; begin < 40; begin += 3)
    for (const std::size_t length : {1u, 2u, 7u, 15u}) {
      const std::string stop = free.text.substr(begin, length);
      SCOPED_TRACE("“" + stop + "”");
      std::string streamed;
      const Generation cut = say({.stop = {stop}}, 60, &streamed);
      EXPECT_EQ(cut.text, free.text.substr(0, free.text.find(stop)));
      EXPECT_EQ(streamed, cut.text) << "nothing of it was shown meanwhile";
      EXPECT_EQ(cut.reason, StopReason::stop_string);
      ASSERT_LE(cut.ids.size(), free.ids.size());
      EXPECT_TRUE(std::equal(cut.ids.begin(), cut.ids.end(), free.ids.begin()));
      // Its tokens say a beginning of the text: the last one may go over the end, then it is left out.
      Utf8Stream stream;
      std::string said;
      for (const TokenId id : cut.ids) said += stream.push(model_->tokenizer()->piece(id));
      EXPECT_EQ(cut.text.substr(0, said.size()), said);
      EXPECT_LT(cut.text.size() - said.size(), 12u) << "no more than a token is left out";
    }
}

TEST_F(ChatThatStops, WhatIsHeldBackComesInTheEnd) {
  const Generation free = say({}, 20);
  std::string streamed;
  // The answer ends with the beginning of this one.
  const Generation cut = say({.stop = {free.text.substr(free.text.size() - 3) + "§"}}, 20, &streamed);
  EXPECT_EQ(cut.text, free.text);
  EXPECT_EQ(cut.ids, free.ids);
  EXPECT_EQ(cut.reason, StopReason::length);
  EXPECT_EQ(streamed, free.text.substr(0, free.text.size() - 3));
}

TEST_F(ChatThatStops, RepetitionIsLessLikely) {
  const Generation free = say({}, 120), varied = say({.repetition_penalty = 1.3f}, 120);
  const auto repeated = [](const std::vector<TokenId>& ids) {
    std::size_t count = 0;
    for (std::size_t i = 0; i < ids.size(); ++i)
      for (std::size_t back = 1; back <= std::min(i, repetition_window); ++back)
        if (ids[i - back] == ids[i]) {
          ++count;
          break;
        }
    return count;
  };
  EXPECT_LT(repeated(varied.ids), repeated(free.ids));
  EXPECT_EQ(say({.repetition_penalty = 1.0f}, 120).ids, free.ids) << "1 is none";
}

TEST_F(ChatThatStops, WhatEndsAnAnswerIsNoRepetition) {
  const Generation free = say({}, 120);
  // A place where the model says again what it said a moment ago; that token ends an answer from now on.
  std::size_t again = 1;
  while (std::find(free.ids.begin(), free.ids.begin() + std::ptrdiff_t(again), free.ids[again]) ==
             free.ids.begin() + std::ptrdiff_t(again) &&
         again + 1 < free.ids.size())
    ++again;
  ASSERT_LT(again + 1, std::min(free.ids.size(), repetition_window));
  prompt_.insert(prompt_.end(), free.ids.begin(), free.ids.begin() + std::ptrdiff_t(again));
  const Sampling strict{.repetition_penalty = 1e6f};
  EXPECT_NE(say(strict, 1).ids, std::vector<TokenId>{free.ids[again]}) << "as any token it would not be said again";
  TokenizerSpec spec = model_->tokenizer()->spec();
  spec.stop.push_back(free.ids[again]);
  ChatSession chat(std::make_shared<Transformer>(make_cpu_backend(), weights_), make_tokenizer(spec), 512);
  const Generation ended = chat.generate(prompt_, 10, strict, {}, {});
  EXPECT_EQ(ended.reason, StopReason::end_of_turn);
  EXPECT_TRUE(ended.ids.empty());
}

TEST_F(ChatThatStops, RefusesAnEmptyString) { EXPECT_THROW(say({.stop = {"a", ""}}), Error); }

}  // namespace
}  // namespace lrc::test
