"""Pages of one HTML file each, without anything from elsewhere: a run's report, a clip, a skeleton layout."""
