#include <gmock/gmock.h>

#include <random>

#include "base/error.h"
#include "tokenizer/chat_template.h"
#include "tokenizer/vectors.h"

namespace lrc {
namespace {

/// Limits that do not depend on how fast the machine is.
TemplateLimits unhurried() {
  TemplateLimits limits;
  limits.seconds = 3600;
  return limits;
}

/// Renders a hostile template; the sentence it is refused with.
std::string refusal(const std::string& source, const TemplateLimits& limits = unhurried()) {
  try {
    render_template(source, Json::object(), true, true, limits);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::bad_input);
    return error.what();
  }
  return "rendered";
}

std::string repeated(const std::string& text, std::size_t count) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) out += text;
  return out;
}

using testing::HasSubstr;

TEST(TemplateLimits, EndsEndlessLoops) {
  const std::string nested = "{% set r = range(3000) %}{% for a in r %}{% for b in r %}{% endfor %}{% endfor %}";
  EXPECT_THAT(refusal(nested), HasSubstr("may never end"));
  TemplateLimits patient;
  patient.steps = std::size_t{1} << 60;
  patient.seconds = 0.05;
  EXPECT_THAT(refusal("{% for a in range(1000) %}{% for b in range(1000) %}{{ '' }}{% endfor %}{% endfor %}", patient),
              HasSubstr("too long"));
  TemplateLimits few = unhurried();
  few.steps = 1000;
  EXPECT_THAT(refusal("{% for a in range(1000) %}{{ '' }}{% endfor %}", few), HasSubstr("too many steps (more than 1000)"));
}

TEST(TemplateLimits, EndsEndlessRecursion) {
  EXPECT_THAT(refusal("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"), HasSubstr("too deeply"));
  EXPECT_THAT(refusal("{% macro f() %}{% call f() %}{{ f() }}{% endcall %}{% endmacro %}{{ f() }}"), HasSubstr("too deeply"));
  EXPECT_THAT(
      refusal(
          "{% macro f(x) %}{% filter upper %}{{ g(x) }}{% endfilter %}{% endmacro %}{% macro g(x) %}{{ [f(x)] }}{% endmacro %}{{ f(1) }}"),
      HasSubstr("too deeply"));
}

TEST(TemplateLimits, RefusesDeepSources) {
  for (const auto& [open, close] : std::vector<std::pair<std::string, std::string>>{
           {"(", ")"}, {"[", "]"}, {"{1:", "}"}, {"-", ""}, {"not ", ""}, {"f(", ")"}, {"a[", "]"}, {"1 if 1 else ", ""}, {"x|f(", ")"}})
    EXPECT_THAT(refusal("{{ " + repeated(open, 20000) + "1" + repeated(close, 20000) + " }}"), HasSubstr("too deeply")) << open;
  for (const char* step : {"+1", ".a", "[0]", "()", "|e", "~1", "**2", " and 1", " or 1", " is defined", " if 1"})
    EXPECT_THAT(refusal("{{ 1" + repeated(step, 20000) + " }}"), HasSubstr("too many steps")) << step;
  for (const auto& [open, close] : std::vector<std::pair<std::string, std::string>>{{"{% if 1 %}", "{% endif %}"},
                                                                                    {"{% for x in y %}", "{% endfor %}"},
                                                                                    {"{% macro m() %}", "{% endmacro %}"},
                                                                                    {"{% set x %}", "{% endset %}"}})
    EXPECT_THAT(refusal(repeated(open, 20000) + repeated(close, 20000)), HasSubstr("too deeply")) << open;
  EXPECT_THAT(refusal("{% filter e" + repeated("|e", 20000) + " %}{% endfilter %}"), HasSubstr("too many steps"));
  // Long but flat is fine.
  EXPECT_EQ(refusal("{% if 0 %}" + repeated("{% elif 0 %}", 20000) + "{% endif %}"), "rendered");
  EXPECT_EQ(refusal("{{ [" + repeated("1,", 20000) + "] | length }}"), "rendered");
}

TEST(TemplateLimits, RefusesGiantResults) {
  EXPECT_THAT(refusal("{{ 'a' * 1000000000000 }}"), HasSubstr("too much text"));
  EXPECT_THAT(refusal("{{ 'ab' * 9223372036854775807 }}"), HasSubstr("too much text"));
  EXPECT_THAT(refusal("{{ [1] * 1000000000000 }}"), HasSubstr("too much memory"));
  EXPECT_THAT(refusal("{{ [1, 2, 3] * 9223372036854775807 }}"), HasSubstr("too much memory"));
  EXPECT_THAT(refusal("{% for i in range(1000000000000) %}{% endfor %}"),
              testing::AnyOf(HasSubstr("too much memory"), HasSubstr("too many steps")));
  EXPECT_THAT(refusal("{% for i in range(100000) %}{{ 'a' * 1000 }}{% endfor %}"), HasSubstr("too much text"));
  EXPECT_THAT(refusal("{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}"),
              HasSubstr("too much text"));
  EXPECT_THAT(refusal("{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = ns.l + ns.l %}{% endfor %}"),
              testing::AnyOf(HasSubstr("too much memory"), HasSubstr("too many steps")));
  EXPECT_THAT(refusal("{% set s = 'a' * 4000000 %}{% set ns = namespace(l=[]) %}{% for i in range(1000) %}{% set ns.l = ns.l + [s + ''] "
                      "%}{% endfor %}"),
              HasSubstr("too much memory"));
  EXPECT_THAT(refusal("{{ ('a' * 100000) | replace('a', 'b' * 100000) }}"), HasSubstr("too much text"));
  EXPECT_THAT(refusal("{{ ('a' * 10000) | replace('', 'b' * 10000) }}"), HasSubstr("too much text"));
  EXPECT_THAT(refusal("{{ (['a'] * 10000) | join('b' * 10000) }}"), HasSubstr("too much text"));
  EXPECT_THAT(refusal("{{ ('\n' * 100000) | indent(1000, blank=true) }}"), HasSubstr("too much text"));
  EXPECT_THAT(refusal("{{ '%999999999s' % 'x' }}{{ '%1000000d' % 1 }}"), HasSubstr("not supported"));
  EXPECT_THAT(refusal("{{ 10 ** 1000000000 }}"), HasSubstr("too large"));
  TemplateLimits small = unhurried();
  small.output_bytes = 10;
  EXPECT_EQ(render_template("0123456789", {}, true, true, small), "0123456789");
  EXPECT_THAT(refusal("0123456789x", small), HasSubstr("more than 10 bytes"));
}

TEST(TemplateLimits, RefusesEndlessValues) {
  EXPECT_THAT(refusal("{% set ns = namespace(l=[]) %}{% for i in range(10000) %}{% set ns.l = [ns.l] %}{% endfor %}"),
              HasSubstr("too deeply"));
  // A list that holds itself twice, many times over: 2^100 items to write or compare.
  const std::string doubling =
      "{% set ns = namespace(a=[1], b=[1]) %}{% for i in range(100) %}{% set ns.a = [ns.a, ns.a] %}{% set ns.b = [ns.b, ns.b] %}{% endfor "
      "%}";
  EXPECT_THAT(refusal(doubling + "{{ ns.a == ns.b }}"), HasSubstr("may never end"));
  EXPECT_THAT(refusal(doubling + "{{ ns.a < ns.b }}"), HasSubstr("may never end"));
  EXPECT_THAT(refusal(doubling + "{{ ns.a | tojson }}"), testing::AnyOf(HasSubstr("may never end"), HasSubstr("too much")));
  // Namespaces may hold themselves; nothing leaks and nothing goes round in circles.
  EXPECT_THAT(refusal("{% set ns = namespace() %}{% set ns.x = [ns] %}{{ ns.x }}"), HasSubstr("cannot be written"));
  EXPECT_EQ(refusal("{% set ns = namespace() %}{% set ns.x = {'a': ns} %}{{ ns.x.a.x.a.x == ns.x }}"), "rendered");
}

TEST(TemplateLimits, KeepsMacrosFromOutlivingTheirScope) {
  EXPECT_EQ(
      render_template("{% set ns = namespace() %}{% for i in [1] %}{% set k = 'x' %}{% macro m() %}{{ k }}!{% endmacro %}{% set ns.m = m %}"
                      "{{ m() }}{% endfor %}{{ ns.m() }}",
                      {}),
      "x!!");
}

TEST(TemplateLimits, SurvivesDamagedTemplates) {
  const Json cases = read_json_file(test::data("templates/chat_templates_even.json"));
  TemplateLimits limits = unhurried();
  limits.steps = 20000;
  std::mt19937 random(7);
  static const std::string pieces[] = {"{{", "}}", "{%", "%}",  "-",    "(",     ")",    "[", "]", "'",
                                       "|",  ".",  ":",  "if ", "for ", "endif", "\xC3", "0", "~", "*"};
  std::size_t refused = 0, rendered = 0;
  for (const Json& entry : cases) {
    const std::string source = entry["template"];
    for (int round = 0; round < 40; ++round) {
      std::string damaged = source;
      for (int change = 0; change < 3; ++change) {
        const std::size_t at = random() % (damaged.size() + 1);
        if (random() % 2)
          damaged.insert(at, pieces[random() % std::size(pieces)]);
        else
          damaged.erase(at, random() % 8);
      }
      try {
        render_template(damaged, entry["context"], true, true, limits);
        ++rendered;
      } catch (const Error&) {
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 100u);
  EXPECT_GT(rendered, 10u);
}

}  // namespace
}  // namespace lrc
