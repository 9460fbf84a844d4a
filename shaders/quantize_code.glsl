// The code of a value for a scale above 0: the q with (q − ½)·s ≤ x ≤ (q + ½)·s, ties to the even q, within the limits. Division
// here may be off by some units in the last place, so it is a first guess only; the products that decide are correctly rounded on
// every device.
float code_of(float value, float scale, float lowest, float highest) {
  const float guess = roundEven(clamp(value / scale, lowest, highest));
  precise const float above = (guess + 0.5) * scale;
  precise const float below = (guess - 0.5) * scale;
  const bool odd = roundEven(guess * 0.5) != guess * 0.5;
  float code = guess;
  if (value > above || (value == above && odd)) code += 1.0;
  if (value < below || (value == below && odd)) code -= 1.0;
  return clamp(code, lowest, highest);
}
