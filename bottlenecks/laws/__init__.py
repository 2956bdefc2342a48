"""Laws: formulas on numbers and arrays, numpy alone."""
