#include "cli/svg_plot.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "cli/context.h"

namespace lrc::cli {
namespace {

constexpr double kWidth = 840, kHeight = 520, kLeft = 76, kRight = 24, kTop = 40, kBottom = 78;
constexpr double kLetter = 6.3;  // of 11 px sans serif, on the wide side
constexpr std::array<const char*, SvgPlot::colours> kColours = {"#d55e00", "#0072b2", "#009e73", "#8a3d78", "#6f7d8c", "#a07800"};

std::string n(double value) { return fixed(value, 1); }

std::string escaped(const std::string& text) {
  std::string result;
  for (const char letter : text) {
    if (letter == '&')
      result += "&amp;";
    else if (letter == '<')
      result += "&lt;";
    else if (letter == '>')
      result += "&gt;";
    else
      result += letter;
  }
  return result;
}

std::string words(double x, double y, const char* anchor, const char* colour, const std::string& text, double size = 12) {
  return "<text x=\"" + n(x) + "\" y=\"" + n(y) + "\" text-anchor=\"" + anchor + "\" fill=\"" + colour + "\" font-size=\"" +
         fixed(size, 0) + "\">" + escaped(text) + "</text>\n";
}

std::string stroke(double x1, double y1, double x2, double y2, const char* colour, const char* more = "") {
  return "<line x1=\"" + n(x1) + "\" y1=\"" + n(y1) + "\" x2=\"" + n(x2) + "\" y2=\"" + n(y2) + "\" stroke=\"" + colour + "\"" + more +
         "/>\n";
}

std::string shape(SvgPlot::Marker marker, double x, double y, const char* colour) {
  const auto polygon = [&](const std::string& corners) {
    return "<polygon fill=\"" + std::string(colour) + "\" points=\"" + corners + "\"/>\n";
  };
  switch (marker) {
    case SvgPlot::Marker::circle:
      return "<circle cx=\"" + n(x) + "\" cy=\"" + n(y) + "\" r=\"4.5\" fill=\"" + colour + "\"/>\n";
    case SvgPlot::Marker::square:
      return "<rect x=\"" + n(x - 4) + "\" y=\"" + n(y - 4) + "\" width=\"8\" height=\"8\" fill=\"" + colour + "\"/>\n";
    case SvgPlot::Marker::diamond:
      return polygon(n(x) + "," + n(y - 6) + " " + n(x + 5) + "," + n(y) + " " + n(x) + "," + n(y + 6) + " " + n(x - 5) + "," + n(y));
    case SvgPlot::Marker::triangle:
      return polygon(n(x) + "," + n(y - 5) + " " + n(x + 5) + "," + n(y + 4) + " " + n(x - 5) + "," + n(y + 4));
  }
  return {};
}

/// A round step that gives four to nine ticks.
double step_of(double span) {
  const double power = std::pow(10.0, std::floor(std::log10(span / 4)));
  for (const double factor : {5.0, 2.0, 1.0})
    if (span / (factor * power) >= 4) return factor * power;
  return power;
}

/// Of a log axis: the decades, with 2 and 5 where there is room for them; a short axis has even steps.
std::vector<double> ticks_of(double low, double high) {
  std::vector<double> ticks;
  if (high < 6 * low) {
    const double step = step_of(high - low);
    for (double n = std::ceil(low / step); n * step <= high; ++n) ticks.push_back(n * step);
    return ticks;
  }
  for (double decade = std::floor(std::log10(low)); decade <= std::log10(high); ++decade)
    for (const double factor : {1.0, 2.0, 5.0}) {
      const double value = factor * std::pow(10.0, decade);
      if (value >= low && value <= high && (factor == 1 || high < 200 * low)) ticks.push_back(value);
    }
  return ticks;
}

struct Box {
  double left, top, right, bottom;
  bool meets(const Box& other) const { return left < other.right && other.left < right && top < other.bottom && other.top < bottom; }
};

std::size_t letters(const std::string& text) {
  return std::size_t(std::ranges::count_if(text, [](char letter) { return (static_cast<unsigned char>(letter) & 0xC0) != 0x80; }));
}

}  // namespace

std::string SvgPlot::text() const {
  double low_x = INFINITY, high_x = -INFINITY, low = INFINITY, high = 0;
  const auto take = [&](double x, double y) {
    if (!(y > 0) || !std::isfinite(y) || !std::isfinite(x)) return;
    low_x = std::min(low_x, x);
    high_x = std::max(high_x, x);
    low = std::min(low, y);
    high = std::max(high, y);
  };
  for (const auto& line : lines_)
    for (const auto& [x, y] : line.line) take(x, y);
  for (const auto& point : points_) take(point.x, point.y);
  if (!(high > 0)) throw Error(ErrorKind::bad_input, "There is nothing above zero to draw in this picture.");
  low = std::max(low, high * 1e-6);
  if (!points_.empty()) {
    // Sizes a per mille apart are one size: an axis that spreads them would show differences that nobody asked for.
    const double lacking = std::max(0.0, 0.1 * std::abs(high_x) - (high_x - low_x));
    low_x -= lacking / 2;
    high_x += lacking / 2;
    const double room_x = high_x > low_x ? 0.04 * (high_x - low_x) : 0.5;
    low_x -= room_x;
    high_x += 3 * room_x;  // for labels
  } else if (!(high_x > low_x)) {
    high_x = low_x + 1;
  }
  const double log_low = std::log10(low) - 0.06, log_high = std::log10(high) + 0.06;
  const auto x_of = [&](double x) { return kLeft + (kWidth - kLeft - kRight) * (x - low_x) / (high_x - low_x); };
  const auto y_of = [&](double y) {
    return kTop + (kHeight - kTop - kBottom) * (log_high - std::log10(std::max(y, low))) / (log_high - log_low);
  };
  const double floor_y = kHeight - kBottom;

  std::string s = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + fixed(kWidth, 0) + "\" height=\"" + fixed(kHeight, 0) +
                  "\" font-family=\"DejaVu Sans, sans-serif\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n" +
                  words(kLeft, 22, "start", "#1b1f24", title_, 14);
  for (const double value : ticks_of(std::pow(10.0, log_low), std::pow(10.0, log_high))) {
    char tick[32];
    std::snprintf(tick, sizeof tick, "%g", value);
    s +=
        stroke(kLeft, y_of(value), kWidth - kRight, y_of(value), "#e6e9ec") + words(kLeft - 6, y_of(value) + 4, "end", "#535c66", tick, 11);
  }
  const double step = step_of(high_x - low_x);
  for (double x = std::ceil(low_x / step) * step; x <= high_x + 1e-9; x += step) {
    char tick[32];
    std::snprintf(tick, sizeof tick, "%g", std::abs(x) < 1e-9 ? 0.0 : x);
    s += stroke(x_of(x), floor_y, x_of(x), floor_y + 4, "#6f7882") + words(x_of(x), floor_y + 17, "middle", "#535c66", tick, 11);
  }
  s += stroke(kLeft, floor_y, kWidth - kRight, floor_y, "#6f7882") + stroke(kLeft, kTop, kLeft, floor_y, "#6f7882");
  s += words((kLeft + kWidth - kRight) / 2, floor_y + 36, "middle", "#1b1f24", x_name_);
  s += "<text transform=\"translate(18 " + n((kTop + floor_y) / 2) +
       ") rotate(-90)\" text-anchor=\"middle\" fill=\"#1b1f24\" font-size=\"12\">" + escaped(y_name_) + "</text>\n";
  s += words(kLeft, kHeight - 14, "start", "#535c66", caption_, 11);

  std::vector<Box> taken;
  for (const auto& [x, label] : verticals_) {
    if (x < low_x || x > high_x) continue;
    s += stroke(x_of(x), kTop, x_of(x), floor_y, "#9aa3ad", " stroke-dasharray=\"2 4\"") +
         words(x_of(x) + 3, kTop + 10, "start", "#6f7882", label, 10);
    taken.push_back({x_of(x), kTop, x_of(x) + 3 + kLetter * double(letters(label)), kTop + 13});
  }
  for (const auto& [line, colour, dashed] : lines_) {
    s += "<polyline fill=\"none\" stroke=\"" + std::string(kColours[colour % colours]) + "\" stroke-width=\"1.5\"" +
         (dashed ? " stroke-dasharray=\"6 4\"" : "") + " points=\"";
    for (const auto& [x, y] : line)
      if (y > 0) s += n(x_of(x)) + "," + n(y_of(y)) + " ";
    s += "\"/>\n";
  }
  for (const auto& point : points_) {
    if (!(point.y > 0)) continue;
    const double x = x_of(point.x), y = y_of(point.y);
    taken.push_back({x - 6, y - 6, x + 6, y + 6});
    s += shape(point.marker, x, y, kColours[point.colour % colours]);
  }
  for (const auto& point : points_) {
    if (!(point.y > 0) || point.label.empty()) continue;
    const double x = x_of(point.x), y = y_of(point.y), length = kLetter * double(letters(point.label));
    struct Place {
      double x, y;
      bool to_the_left;
    };
    std::vector<Place> places = {{x + 9, y + 4, false}, {x - 9, y + 4, true}};
    for (int ring = 1; ring <= 8; ++ring)
      for (const double sign : {-1.0, 1.0}) {
        places.push_back({x + 9, y + 4 + sign * 13 * ring, false});
        places.push_back({x - 9, y + 4 + sign * 13 * ring, true});
      }
    const auto box_of = [&](const Place& place) {
      const double left = place.to_the_left ? place.x - length : place.x;
      return Box{left, place.y - 10, left + length, place.y + 3};
    };
    const auto fits = [&](const Place& place) {
      const Box box = box_of(place);
      return box.left > kLeft && box.right < kWidth - kRight && box.top > kTop && box.bottom < floor_y &&
             std::ranges::none_of(taken, [&](const Box& other) { return box.meets(other); });
    };
    const auto found = std::ranges::find_if(places, fits);
    const Place place = found == places.end() ? places.front() : *found;
    taken.push_back(box_of(place));
    if (std::abs(place.y - 4 - y) > 1) s += stroke(x, y, place.x, place.y - 4, "#9aa3ad", " stroke-width=\"0.7\"");
    s += words(place.x, place.y, place.to_the_left ? "end" : "start", kColours[point.colour % colours], point.label, 11);
  }
  for (std::size_t i = 0; i < legend_.size(); ++i)
    s += words(kWidth - kRight - 6, kTop + 14 + 14 * double(i), "end", kColours[legend_[i].second % colours], legend_[i].first, 11);
  return s + "</svg>\n";
}

}  // namespace lrc::cli
