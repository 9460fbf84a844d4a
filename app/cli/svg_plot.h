#pragma once
// Pictures for papers and web pages, written as SVG: no plotting library is needed.
#include <string>
#include <utility>
#include <vector>

namespace lrc::cli {

/// One plot; the vertical axis is logarithmic, values that are not above 0 are left out.
class SvgPlot {
 public:
  using Line = std::vector<std::pair<double, double>>;  ///< x, y
  enum class Marker { circle, square, diamond, triangle };
  static constexpr std::size_t colours = 6;  ///< distinguishable by people who see colours differently; taken in turn

  SvgPlot(std::string title, std::string x_name, std::string y_name)
      : title_(std::move(title)), x_name_(std::move(x_name)), y_name_(std::move(y_name)) {}

  void add_line(Line line, std::size_t colour, bool dashed = false) { lines_.push_back({std::move(line), colour, dashed}); }
  /// Labels move out of each other's way.
  void add_point(double x, double y, Marker marker, std::size_t colour, std::string label) {
    points_.push_back({x, y, marker, colour, std::move(label)});
  }
  /// A dotted line across the whole height, named at its top.
  void add_vertical(double x, std::string label) { verticals_.push_back({x, std::move(label)}); }
  void add_legend(std::string text, std::size_t colour) { legend_.push_back({std::move(text), colour}); }
  /// One line below the axes: what the numbers are of.
  void set_caption(std::string text) { caption_ = std::move(text); }

  /// Throws Error(bad_input) when there is nothing above zero to draw.
  std::string text() const;

 private:
  struct DrawnLine {
    Line line;
    std::size_t colour;
    bool dashed;
  };
  struct Point {
    double x, y;
    Marker marker;
    std::size_t colour;
    std::string label;
  };
  std::string title_, x_name_, y_name_, caption_;
  std::vector<DrawnLine> lines_;
  std::vector<Point> points_;
  std::vector<std::pair<double, std::string>> verticals_;
  std::vector<std::pair<std::string, std::size_t>> legend_;
};

}  // namespace lrc::cli
