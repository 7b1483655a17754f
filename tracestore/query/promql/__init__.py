"""The part of PromQL that is answered from stored spans: text -> plan -> values."""
