#include "tokenizer/chat_template.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "tokenizer/vectors.h"

namespace lrc {
namespace {

/// The message of the error that rendering ends in; empty where it does not.
std::string failure(const std::string& source) {
  try {
    render_template(source, Json::object());
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::bad_input);
    return error.what();
  }
  return {};
}

void expect_cases(const char* file, std::size_t count, bool trim) {
  constexpr std::int64_t clock = 1752148800;  // 2025-07-10T12:00:00Z
  const Json cases = read_json_file(test::data(file));
  ASSERT_EQ(cases.size(), count);
  for (const Json& entry : cases) {
    SCOPED_TRACE(entry["name"].get<std::string>());
    try {
      EXPECT_EQ(render_template(entry["template"], entry["context"], trim, trim, {}, clock), entry["expected"].get<std::string>());
    } catch (const Error& error) {
      ADD_FAILURE() << error.what();
    }
  }
}

TEST(ChatTemplate, RendersPublishedTemplates) { expect_cases("templates/chat_templates_even.json", 27, true); }
TEST(ChatTemplate, RendersPublishedSyntaxCases) { expect_cases("templates/jinja_syntax_even.json", 79, false); }

TEST(ChatTemplate, RendersSmolLm2Chats) {
  const Json golden = read_json_file(test::data("tokenizer/smollm2.json"));
  ASSERT_EQ(golden["chats"].size(), 12u);
  for (const Json& chat : golden["chats"]) {
    std::vector<ChatMessage> messages;
    for (const Json& message : chat["messages"]) messages.push_back({message["role"], message["content"]});
    EXPECT_EQ(render_chat(golden["chat_template"], messages, chat["add_generation_prompt"], "<|im_start|>", "<|im_end|>"),
              chat["text"].get<std::string>());
  }
}

TEST(ChatTemplate, RendersQwen3Chats) {
  const auto file = test::shared_file("models/tokenizers/qwen3/tokenizer_config.json");
  if (!file) GTEST_SKIP() << "set LRC_SHARED to the shared data folder to render Qwen3's template";
  const std::string source = read_json_file(*file)["chat_template"];
  const std::vector<ChatMessage> messages = {
      {"system", "Be brief."}, {"user", "Hi"}, {"assistant", "<think>\nhm\n</think>\n\nHello."}, {"user", "Bye"}};
  const std::string expected =
      "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n"
      "<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n";
  EXPECT_EQ(render_chat(source, messages, true, "", "<|im_end|>"), expected);
  EXPECT_EQ(render_chat(source, messages, true, "", "<|im_end|>", {{"enable_thinking", false}}), expected + "<think>\n\n</think>\n\n");
}

TEST(ChatTemplate, OffersPlainChatMl) {
  EXPECT_EQ(render_chat(plain_chat_template, {{"user", "  a\n"}, {"assistant", "b"}}, true, "", ""),
            "<|im_start|>user\n  a\n<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(render_chat(plain_chat_template, {{"user", "a"}}, false, "", ""), "<|im_start|>user\na<|im_end|>\n");
}

TEST(ChatTemplate, FollowsTheLanguage) {
  const std::pair<const char*, const char*> cases[] = {
      {"{{ 1.0 }} {{ 1e16 }} {{ 123456.0 }} {{ 0.0001 }} {{ 0.00001 }} {{ 7 / 2 }} {{ -7 % 3 }} {{ 2 ** 10 }}",
       "1.0 1e+16 123456.0 0.0001 1e-05 3.5 2 1024"},
      {"{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }}", "true false true true true"},
      {"{{ 'a' ~ 1 ~ none ~ nothing ~ true }}", "a1true"},
      {"{{ 1 + 2 ~ 3 }}", "123"},
      {"{{ [1, 'a', none, {'k': 1.5}, (1, 2)] }}", R"([1, "a", null, {"k": 1.5}, [1, 2]])"},
      {"{{ 'äöü'[::-1] }} {{ 'äöü'|length }} {{ 'äöü'[1] }} {{ 'straße'.upper() }}", "üöä 3 ö STRAßE"},
      {"{% for x in 'ab' %}{{ loop.index }}/{{ loop.length }}{{ x }}{{ loop.revindex0 }}{{ ',' if not loop.last }}{% endfor %}",
       "1/2a1,2/2b0"},
      {"{% for x in [1, 2, 3] %}{{ loop.cycle('a', 'b') }}{{ loop.previtem }}{{ loop.nextitem }} {% endfor %}", "a2 b13 a2 "},
      {"{% for x in [] %}x{% else %}none{% endfor %}", "none"},
      {"{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}={{ v }};{% endfor %}", "a=1;b=2;"},
      {"{% for x in [1, 2, 3, 4] %}{% if x is even %}{% continue %}{% endif %}{{ x }}{% endfor %}", "13"},
      {"{% set x = 1 %}{% for i in [1] %}{% set x = 2 %}{% endfor %}{{ x }}", "1"},
      {"{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}", "2"},
      {"{% set a, b = 1, 2 %}{{ b }}{{ a }}", "21"},
      {"{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a }}", "3"},
      {"{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}", "3210"},
      {"{% macro f(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}{{ f(1, b=2) }}", "1112"},
      {"{% macro f(x) %}[{{ caller(x) }}]{% endmacro %}{% call(y) f(3) %}{{ y * 2 }}{% endcall %}", "[6]"},
      {"{% filter upper | replace('A', 'b') %}aa{% endfilter %}{% set x | trim %} c {% endset %}{{ x }}", "bbc"},
      {"{% raw %}{{ x }}{% endraw %}{# {{ no }} #}", "{{ x }}"},
      {"{{ '%s is %05.1f and %d%%' % ('x', 2.25, 3) }} {{ '%-4s|%4s' | format('a', 'b') }} {{ '{} {0} {k}'.format(1, k=2) }}",
       "x is 002.2 and 3% a   |   b 1 1 2"},
      {"{{ '\\x41\\u00e9\\t\\q' }}", "A\xC3\xA9\t\\q"},
      {"{{ 'a,b,,c'.split(',') }} {{ 'a,b,c'.rsplit(',', 1) }} {{ 'a\nb\r\nc'.splitlines() }}",
       R"(["a", "b", "", "c"] ["a,b", "c"] ["a", "b", "c"])"},
      {"{{ 'xxaxx'.strip('x') }} {{ 'a-b'.partition('-') }} {{ 'banana'.find('na') }} {{ 'banana'.count('an') }}",
       R"(a ["a", "-", "b"] 2 2)"},
      {"{{ 'banana'.replace('a', 'o', 2) }} {{ 'ab' | replace('', '-') }}", "bonona -a-b-"},
      {"{{ {'items': 1}.items }} {{ {'items': 1}.items() }} {{ {'a': 1}.get('b', 2) }} {{ {1: 'x'}[1] }}", R"(1 [["items", 1]] 2 x)"},
      {"{{ [3, 1, 2] | sort | join('-') }} {{ ['b', 'A'] | sort }} {{ [1, 1, 2] | unique }} {{ [1, 2, 3] | batch(2) }}",
       R"(1-2-3 ["A", "b"] [1, 2] [[1, 2], [3]])"},
      {"{{ [1, 2, 3] | sum }} {{ [1, 5, 2] | max }} {{ ['b', 'a'] | min }} {{ [1, 2, 3] | select('odd') }} {{ [1, 2] | map('string') }}",
       R"(6 5 a [1, 3] ["1", "2"])"},
      {"{{ [{'a': {'b': 1}}, {'a': {'b': 2}}] | map(attribute='a.b') }} {{ [{'a': 1}, {}] | map(attribute='a', default=0) }}",
       "[1, 2] [1, 0]"},
      {"{% for g in [{'k': 2, 'v': 1}, {'k': 1, 'v': 2}, {'k': 2, 'v': 3}] | groupby('k') %}{{ g[0] }}:{{ g[1] | map(attribute='v') }}{% "
       "endfor %}",
       "1:[2]2:[1, 3]"},
      {"{{ 'one two three' | truncate(8, leeway=0) }} {{ 2.5 | round }} {{ 2.345 | round(2, 'floor') }} {{ 'ff' | int(base=16) }} {{ '1.9' "
       "| int }}",
       "one... 2.0 2.34 255 1"},
      {"{{ '<a & \"b\">' | e }} {{ nothing is defined }} {{ 3 is divisibleby 3 }} {{ 1 is in [1] }} {{ 'x' is string and 1 is not string "
       "}}",
       "&lt;a &amp; &#34;b&#34;&gt; false true true true"},
      {"{{ 'é' | tojson }} {{ 'é😀' | tojson(ensure_ascii=true) }} {{ [] | tojson(indent=2) }}", "\"é\" \"\\u00e9\\ud83d\\ude00\" []"},
      {"{{ [1, [2]] | tojson(indent='\t') }}", "[\n\t1,\n\t[\n\t\t2\n\t]\n]"},
      {"{{ range(3) | list }} {{ range(2, 8, 3) | list }} {{ dict(a=1) }}", "[0, 1, 2] [2, 5] {\"a\": 1}"},
      {"{{ [[1, 2], [3]].0.1 }} {{ [1, 2, 3][-1] }} {{ [1][5] is undefined }} {{ none.x is undefined }}", "2 3 true true"},
      {"{{ 'a' 'b' }} {{ ('c') }} {{ (1,) }} {{ () }}", "ab c [1] []"},
      {"{% set ns = namespace(n=0) %}{% for i in range(4) %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}", "6"},
      {"a\r\nb\n", "a\nb"},
      {"{{ strftime_now('%Y-%m-%d %H:%M %B %-d') }}", "2025-07-10 12:00 July 10"},
  };
  for (const auto& [source, expected] : cases) {
    SCOPED_TRACE(source);
    try {
      EXPECT_EQ(render_template(source, Json::object(), false, false, {}, 1752148800), expected);
    } catch (const Error& error) {
      ADD_FAILURE() << error.what();
    }
  }
}

TEST(ChatTemplate, ControlsWhiteSpace) {
  const std::string source = "  {% if true %}\n  a {{ 1 }}\n\t{%+ if true %}b{% endif +%}\n {%- endif %}\n {# note #}\nc";
  EXPECT_EQ(render_template(source, {}, true, true), "  a 1\n\tbc");
  EXPECT_EQ(render_template(source, {}, false, false), "  \n  a 1\n\tb\n \nc");
  EXPECT_EQ(render_template(source, {}, true, false), "    a 1\n\tb c");
}

TEST(ChatTemplate, SaysWhatIsWrongAndWhere) {
  const std::pair<const char*, const char*> cases[] = {
      {"a\n{{ x", "line 2: a tag is not closed"},
      {"{% if x %}", "{% endif %} is missing"},
      {"{% endif %}", "closes nothing"},
      {"{% include 'x' %}", "\"include\" is not supported"},
      {"\n\n{{ x.y.z }}", "line 3: \"y\" is asked of something undefined"},
      {"{{ f(1) }}", "\"f\" is called, but it is an undefined value"},
      {"{{ 1 | nope }}", "filter \"nope\" is not supported"},
      {"{{ 1 is nope }}", "test \"nope\" is not supported"},
      {"{{ 'a' | upper(1) }}", "takes 0 arguments"},
      {"{{ 'a' | join(x=1) }}", "no argument \"x\""},
      {"{{ 1 // 0 }}", "divided by 0"},
      {"{{ 9223372036854775807 + 1 }}", "too large"},
      {"{{ 99999999999999999999 }}", "too large"},
      {"{{ 'a' + none }}", "cannot be used"},
      {"{{ 1 < 'a' }}", "cannot be ordered"},
      {"{{ '%d' % 'x' }}", "cannot be formatted"},
      {"{{ '%s%s' % 'x' }}", "more fields than values"},
      {"{% for a, b in [[1]] %}{% endfor %}", "1 values cannot be given to 2 names"},
      {"{% set x.y = 1 %}", "not a namespace"},
      {"{% break %}", "outside of a loop"},
      {"{{ {[1]: 2} }}", "cannot be a key"},
      {"{{ 1 2 }}", "is missing"},
      {"{{ 'abc }}", "not closed"},
      {"{{ a ? b }}", "has no meaning"},
      {"{{ raise_exception('Roles must alternate.') }}", "Roles must alternate."},
  };
  for (const auto& [source, expected] : cases) EXPECT_THAT(failure(source), testing::HasSubstr(expected)) << source;
}

}  // namespace
}  // namespace lrc
