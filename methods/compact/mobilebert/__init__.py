"""MobileBERT and its teacher IB-BERT (Sun et al., ACL 2020, arXiv 2004.02984)."""
